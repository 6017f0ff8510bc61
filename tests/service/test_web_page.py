"""The page at /, in a real browser."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.server import Server, running
from tests.support.strict_serve import STRICT, WEAK

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.browser
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@contextlib.contextmanager
def chromium(*options: str) -> Iterator[webdriver.Chrome]:
    if CHROMIUM is None or CHROMEDRIVER is None:
        pytest.skip("chromium and chromium-driver are not installed")
    wanted = webdriver.ChromeOptions()
    wanted.binary_location = CHROMIUM
    for option in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--window-size=1300,1000", *options,
    ):  # fmt: skip
        wanted.add_argument(option)
    wanted.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=wanted, service=webdriver.ChromeService(CHROMEDRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as driver:
        yield driver


@pytest.fixture
def page(browser: webdriver.Chrome, server: Server) -> Page:
    browser.get(server.url)
    page = Page(browser)
    page.wait_for_pool()
    return page


class Page:
    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def field(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def wait(self, condition: object) -> None:
        WebDriverWait(self.driver, 30).until(lambda _: condition())  # type: ignore[operator]

    def wait_for_pool(self) -> None:
        self.wait(lambda: "Workers" in self.field("pool").text)

    def choose(self, task: str) -> None:
        radio = self.driver.find_element(By.CSS_SELECTOR, f"input[name=task][value={task}]")
        radio.find_element(By.XPATH, "..").click()

    def fill(self, **fields: str) -> None:
        for name, text in fields.items():
            # By script: the browser would indent what is typed into a program.
            self.driver.execute_script("arguments[0].value = arguments[1]", self.field(name), text)

    def go(self) -> str:
        self.field("go").click()
        return self.outcome()

    def outcome(self) -> str:
        self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, "#outcome > *"))
        return self.field("outcome").text


def test_a_sound_triplet_is_shown_as_such(page: Page) -> None:
    page.fill(
        program="def f(a, b=1):\n    return [a, b]", inputs="1\n2, b=3", outputs="[1, 1]\n[2, 3]"
    )
    text = page.go()
    assert page.field("status").text == "ok"
    assert "a sound task" in text
    assert "[2, 3]" in text
    assert "CPU" in text
    assert "Peak memory" in text


def test_the_first_difference_of_an_unstable_program_is_shown(page: Page) -> None:
    page.fill(
        program="def f(words):\n    return list(set(words))",
        inputs="['red', 'green', 'blue']",
        outputs="",
    )
    text = page.go()
    assert page.field("status").text == "nondeterministic"
    assert "at [0]: 'red' against 'blue'" in text


def test_an_error_task_can_be_validated(page: Page) -> None:
    page.fill(program="def f(d):\n    return d['k']", inputs="{}", outputs="")
    page.field("expects-error").click()
    text = page.go()
    assert page.field("status").text == "ok"
    assert "KeyError" in text


@pytest.mark.parametrize(
    ("task", "fields", "right"),
    [
        ("deduction", {"program": "def f(n):\n    return n + 1", "inputs": "1", "outputs": "",
                       "answers": "2\n3\n1 + 1"}, "2 of 3 right"),
        ("abduction", {"program": "def f(a, b=1):\n    return a * b", "inputs": "", "outputs": "12",
                       "answers": "2, 6\na=12\n5, 2"}, "2 of 3 right"),
        ("induction", {"inputs": "2\n5", "outputs": "4\n25",
                       "answers": "def f(n):\n    return n * n\n---\ndef f(n):\n    return n + n"},
         "1 of 2 right"),
        ("error", {"program": "def f(d):\n    return d['k']", "inputs": "{}",
                   "answers": "KeyError\nNoError"}, "1 of 2 right"),
    ],
)  # fmt: skip
def test_answers_are_judged(page: Page, task: str, fields: dict[str, str], right: str) -> None:
    page.choose(task)
    page.fill(**fields)
    text = page.go()
    assert page.field("status").text == right
    assert "the answer is right" in text or "2 of 2 hidden pairs are right" in text


@pytest.mark.parametrize("task", ["call", "stdio", "assert"])
def test_the_examples_of_programs_and_tests_are_judged(page: Page, task: str) -> None:
    page.choose(task)
    page.field("example").click()
    text = page.go()
    assert page.field("status").text == "1 of 2 right"
    assert "2 of 2" in text


def test_a_judgement_that_can_be_forged_says_so(page: Page) -> None:
    page.choose("assert")
    page.field("example").click()
    page.field("together").click()
    assert "weak" in page.go()


def test_a_script_shows_its_output(page: Page) -> None:
    page.choose("run")
    page.fill(program="print(input() + ' äöü')\nraise SystemExit('gone')", stdin="hello\n")
    page.go()
    assert page.field("stdout").text == "hello äöü"
    assert page.field("stderr").text == "gone"
    assert page.field("status").text == "error"


def test_markup_in_texts_stays_text(page: Page) -> None:
    title = page.driver.title
    page.fill(program=f"def f(s):\n    return s  # {MARKUP}", inputs=repr(MARKUP), outputs="'x'")
    assert MARKUP[:20] in page.go()
    page.choose("deduction")
    page.fill(inputs=repr(MARKUP), outputs="", answers=MARKUP)
    assert MARKUP[:20] in page.go()
    page.choose("run")
    page.fill(program=f"print({MARKUP!r})", stdin="")
    page.go()
    assert page.field("stdout").text == MARKUP
    assert page.driver.title == title
    assert not page.driver.find_elements(By.CSS_SELECTOR, "#outcome img, #outcome script")


def test_a_refusal_is_a_sentence(page: Page) -> None:
    page.choose("deduction")
    page.fill(program="", inputs="", outputs="", answers="1")
    text = page.go()
    assert len(text) > 10
    assert "undefined" not in text


def test_the_page_can_be_used_with_the_keyboard_alone(page: Page) -> None:
    first = page.driver.find_element(By.CSS_SELECTOR, "input[name=task]:checked")
    page.driver.execute_script("arguments[0].focus()", first)
    keys = ActionChains(page.driver)
    keys.send_keys(Keys.ARROW_RIGHT * 8, Keys.TAB).perform()
    assert page.driver.switch_to.active_element.get_attribute("id") == "program"
    select_all = ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("a")
    select_all.key_up(Keys.CONTROL).send_keys("print('typed')").perform()
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys(Keys.ENTER).perform()
    page.outcome()
    assert page.field("stdout").text == "typed"


def test_the_pool_is_shown_live(page: Page, server: Server) -> None:
    def known() -> str:
        return page.field("pool").text.partition("Cache")[2].partition("Restarts")[0]

    before = known()
    body = {"program": "def f(n):\n    return n + 4711", "inputs": ["1"]}
    httpx.post(f"{server.url}/v1/validate", json=body, timeout=30)
    page.wait(lambda: known() != before)
    assert page.field("workers").get_attribute("aria-label") != "workers"
    script = {"source": "open('a', 'w').write('x')"}
    httpx.post(f"{server.url}/v1/run", json=script, timeout=30)
    page.wait(lambda: "script jail" in str(page.field("workers").get_attribute("aria-label")))


def test_the_browser_has_nothing_to_complain_about(page: Page) -> None:
    page.go()
    assert page.driver.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_every_field_has_a_label_and_the_dark_form_is_dark(server: Server) -> None:
    with chromium("--blink-settings=preferredColorScheme=0") as driver:
        driver.get(server.url)
        script = "return getComputedStyle(document.body).backgroundColor"
        colour = driver.execute_script(script)
        assert all(int(part) < 60 for part in colour[4:-1].split(","))
        for task in ("validate", "induction", "run"):
            Page(driver).choose(task)
            fields = driver.find_elements(By.CSS_SELECTOR, "textarea, select, [type=checkbox]")
            shown = [field for field in fields if field.is_displayed()]
            assert len(shown) >= 2
            assert all(field.accessible_name for field in shown)


def test_the_token_is_asked_for_and_kept_for_the_tab() -> None:
    with (
        running("--workers", "2", env={"EXECUTOR_TOKEN": "right-token"}) as server,
        chromium() as driver,
    ):
        driver.get(server.url)
        page = Page(driver)
        page.wait(lambda: page.field("token").is_displayed())
        page.field("token").send_keys("wrong", Keys.ENTER)
        page.wait(lambda: page.field("token-wrong").is_displayed())
        page.field("token").send_keys("right-token", Keys.ENTER)
        page.wait_for_pool()
        page.go()
        assert page.field("status").text == "nondeterministic"
        driver.refresh()
        page.wait_for_pool()
        assert not page.field("token").is_displayed()
        assert "right-token" not in driver.page_source
        storage = "return JSON.stringify(localStorage) + document.cookie"
        assert driver.execute_script(storage) == "{}"


def test_what_the_server_waives_is_shown() -> None:
    with (
        running("--workers", "2", "--waive", WEAK, program=STRICT) as server,
        chromium() as driver,
    ):
        driver.get(server.url)
        page = Page(driver)
        page.wait_for_pool()
        assert f"Waived by this server: {WEAK} (fails: ok: True)" in page.field("warnings").text
        assert f"Waived weaknesses\n{WEAK}" in page.go()


def test_the_files_forbid_everything_from_elsewhere(client: httpx.Client) -> None:
    for path in ("/", "/static/app.js", "/static/style.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in answer.text.replace("http-equiv", "")
        again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
