// The page at "/". Texts reach the document as text nodes only, never as markup.

const $ = (id) => document.getElementById(id);
const TOKEN = "executor-token";
const POLL_MS = 2000;

const EXPLAIN = {
  validate: "Is this a sound task? The program runs on each input in fresh processes that differ.",
  deduction: "Given program and input: what is the output?",
  abduction: "Given program and output: which input gives it?",
  induction: "Given pairs of input and output: which program does that? No program is given.",
  error: "Given program and input: which exception does it raise, or NoError?",
  call: "A program and its tests: does each call return what it should?",
  stdio: "A script and its tests: does it print what it should? Expected texts are never in its sandbox.",
  assert: "A program and its tests: do all assertions hold? The tests run in a sandbox of their own.",
  run: "Runs once in a fresh sandbox with a writable directory.",
};

const LABELS = {
  outputs: { validate: "Outputs (may be empty)", deduction: "Output (may be empty)", abduction: "Output", induction: "Hidden outputs", stdio: "Standard outputs, with a line of three dashes between them" },
  inputs: { call: "Arguments, those of one call on each line", stdio: "Standard inputs, with a line of three dashes between them", deduction: "Input", abduction: "Gold input (may be empty)", induction: "Hidden inputs, one on each line", error: "Input" },
  answers: Object.fromEntries(["induction", "call", "stdio", "assert"].map((name) => [name, "Programs, with a line of three dashes between them"])),
  program: { run: "Script" },
};
const COMMON = { outputs: "Outputs", inputs: "Inputs, one on each line", answers: "Answers, one on each line", program: "Program" };

const EXAMPLES = {
  validate: { program: "def f(words):\n    return list(set(words))\n", inputs: "['red', 'green', 'blue']\n['one']", outputs: "" },
  deduction: { program: "def f(n):\n    return list(range(n))\n", inputs: "3", outputs: "", answers: "[0, 1, 2]\n[0, 1]\n[0] + [1, 2]" },
  abduction: { program: "def f(a, b=1):\n    return a * b\n", inputs: "", outputs: "12", answers: "2, 6\na=12\n5, 2" },
  induction: { inputs: "2\n5", outputs: "4\n25", answers: "def f(n):\n    return n * n\n---\ndef f(n):\n    return n + n" },
  error: { program: "def f(d):\n    return d['k']\n", inputs: "{}", answers: "KeyError\nValueError\nNoError" },
  call: { "entry-point": "Solution.add", inputs: "1, 2\n[3], [4]", outputs: "3\n[3, 4]", answers: "class Solution:\n    def add(self, a, b):\n        return a + b\n---\nimport os\nos._exit(0)" },
  stdio: { inputs: "1 2\n---\n3 4", outputs: "3\n---\n7", answers: "print(sum(map(int, input().split())))\n---\nprint(3)" },
  assert: { "entry-point": "add", tests: "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate('a', 'b') == 'ab'", answers: "def add(a, b):\n    return a + b\n---\nclass Any:\n    def __eq__(self, other):\n        return True\n\ndef add(a, b):\n    return Any()" },
  run: { program: "import sys\n\nfor line in sys.stdin:\n    print(line.strip().upper())\n", stdin: "hello\nworld\n" },
};

const GOOD = new Set(["ok"]);
const ODD = new Set(["infra", "nondeterministic", "screened", "unserializable", "malformed"]);

let running = null;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// ---- Calls -------------------------------------------------------------------------------------

class Refused extends Error {}

async function call(path, body, signal) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  });
  if (response.status === 401) {
    askForToken(token !== null);
    throw new Refused("This server wants a token.");
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(answer?.error?.message ?? `The server answered ${response.status}.`);
  return answer;
}

function askForToken(wrong) {
  sessionStorage.removeItem(TOKEN);
  $("token-button").hidden = false;
  $("token-wrong").hidden = !wrong;
  if (!$("token-dialog").open && !askForToken.refused) $("token-dialog").showModal();
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, $("token").value);
  $("token").value = "";
  $("token-dialog").close();
  askForToken.refused = false;
  poll();
});
$("token-dialog").addEventListener("cancel", () => { askForToken.refused = true; });
$("token-cancel").addEventListener("click", () => { askForToken.refused = true; $("token-dialog").close(); });
$("token-button").addEventListener("click", () => { askForToken.refused = false; $("token-dialog").showModal(); });

// ---- The form ----------------------------------------------------------------------------------

const task = () => document.querySelector("input[name=task]:checked").value;

// Lines of a field; none if it is empty. An empty line is the call without arguments.
function lines(id) {
  const text = $(id).value.replace(/\n$/, "");
  return text === "" ? [] : text.split("\n");
}

function showFields() {
  const chosen = task();
  for (const field of document.querySelectorAll("[data-for]")) field.hidden = !field.dataset.for.split(" ").includes(chosen);
  for (const [id, common] of Object.entries(COMMON)) $(`${id}-label`).textContent = LABELS[id][chosen] ?? common;
  $("explain").textContent = EXPLAIN[chosen];
}

const TESTED = new Set(["call", "stdio", "assert"]);

// Texts of several lines, with a line of three dashes between them.
const blocks = (id) => $(id).value.split(/^---[ \t]*(?:\n|$)/m);

// A task whose answers are programs that are judged by tests.
function tested(chosen) {
  const body = { task: chosen, answers: blocks("answers"), scoring: $("scoring").value };
  if (chosen !== "stdio" && $("entry-point").value) body.entry_point = $("entry-point").value;
  if (chosen === "call") Object.assign(body, { inputs: lines("inputs"), outputs: lines("outputs"), strict: $("strict").checked });
  if (chosen === "stdio") Object.assign(body, { stdin: blocks("inputs"), stdout: blocks("outputs") });
  if (chosen === "assert") Object.assign(body, { tests: $("tests").value, together: $("together").checked });
  return body;
}

function request() {
  const chosen = task();
  const program = $("program").value;
  if (chosen === "run") return ["/v1/run", { source: program, stdin: $("stdin").value }];
  const inputs = lines("inputs");
  const outputs = lines("outputs");
  if (chosen === "validate") {
    const body = { program, inputs: inputs.length ? inputs : [""], expects: $("expects-error").checked ? "error" : "value" };
    if (outputs.length) body.outputs = outputs;
    return ["/v1/validate", body];
  }
  if (TESTED.has(chosen)) return ["/v1/judge", tested(chosen)];
  const answers = chosen === "induction" ? $("answers").value.split(/^---\s*$/m) : lines("answers");
  const body = { task: chosen, answers, inputs };
  if (chosen !== "induction") body.program = program;
  if (chosen === "induction") body.scoring = $("scoring").value;
  if (chosen !== "error") Object.assign(body, { outputs, strict: $("strict").checked });
  return ["/v1/judge", body];
}

async function submit() {
  if (running) return;
  running = new AbortController();
  $("go").disabled = true;
  $("stop").hidden = false;
  $("nothing").hidden = false;
  $("nothing").textContent = "Running.";
  $("outcome").replaceChildren();
  const chosen = task();
  try {
    const [path, body] = request();
    const answer = await call(path, body, running.signal);
    $("nothing").hidden = true;
    $("outcome").replaceChildren(...show(chosen, body, answer));
  } catch (error) {
    $("nothing").hidden = true;
    const stopped = error.name === "AbortError";
    const text = stopped ? "Stopped." : error instanceof Refused ? error.message : "The server cannot be reached.";
    $("outcome").replaceChildren(element("p", { class: stopped ? "quiet" : "bad detail", role: "alert" }, text));
  } finally {
    running = null;
    $("go").disabled = false;
    $("stop").hidden = true;
  }
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
$("stop").addEventListener("click", () => running?.abort());
$("tasks").addEventListener("change", showFields);
$("example").addEventListener("click", () => {
  for (const [id, text] of Object.entries(EXAMPLES[task()])) $(id).value = text;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("token-dialog").open) {
    event.preventDefault();
    submit();
  }
});

// ---- Results -----------------------------------------------------------------------------------

function show(chosen, body, answer) {
  const parts = chosen === "validate" ? verdict(body, answer) : chosen === "run" ? script(answer) : judgement(body, answer);
  parts.push(usage(answer), element("details", {}, element("summary", {}, "JSON"), element("pre", {}, JSON.stringify(answer, null, 2))));
  return parts;
}

function status(name, note = "") {
  const colour = GOOD.has(name) ? "good" : ODD.has(name) ? "odd" : "bad";
  return element("p", { class: "verdict" }, element("span", { class: `status ${colour}`, id: "status" }, name), element("span", { class: "quiet" }, note));
}

function table(heads, rows) {
  const cell = (value) => {
    const [text, kind] = Array.isArray(value) ? value : [value, ""];
    return element("td", kind ? { class: kind } : {}, text);
  };
  return element("div", { class: "wide" }, element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell))))));
}

function verdict(body, answer) {
  const note = answer.valid ? "a sound task" : "not a sound task";
  const parts = [status(answer.status, note), element("p", { class: "detail" }, answer.detail)];
  if (answer.outputs.some((output) => output !== null)) {
    const given = body.outputs;
    parts.push(table(["Input", "Output", ...(given ? ["Given"] : [])], body.inputs.map((input, i) => [
      [input, "code"], [answer.outputs[i] ?? "none", "code"], ...(given ? [[given[i] ?? "", "code"]] : []),
    ])));
  }
  return parts;
}

function judgement(body, answer) {
  const right = answer.scores.filter((score) => score === 1).length;
  const known = answer.scores.every((score) => score !== null);
  const head = element("p", { class: "verdict" }, element("span", { class: `status ${right ? "good" : "bad"}`, id: "status" },
    `${right} of ${answer.scores.length} right`), element("span", { class: "quiet" }, known ? "" : "some could not be scored"));
  if (answer.weak) head.append(element("span", { class: "odd", id: "weak" }, "weak: tests and answer shared a process"));
  return [head, table(["Answer", "Score", "Status", ""], body.answers.map((text, i) => [
    [text.trim(), "code"], [answer.scores[i] === null ? "none" : String(answer.scores[i]), "number"],
    [answer.statuses[i], GOOD.has(answer.statuses[i]) ? "good" : ODD.has(answer.statuses[i]) ? "odd" : "bad"], answer.details[i],
  ]))];
}

function script(answer) {
  const parts = [status(answer.status), element("p", { class: "detail" }, answer.detail)];
  for (const [name, title] of [["stdout", "Standard output"], ["stderr", "Standard error"]]) {
    const text = fromBase64(answer[name]);
    if (text || name === "stdout") parts.push(element("h3", {}, title), element("pre", { id: name }, text || "(empty)"));
  }
  return parts;
}

function fromBase64(text) {
  return new TextDecoder().decode(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
}

function usage({ usage: used, backend, interpreter, key, weaknesses = [] }) {
  const facts = [
    ["Time", `${used.wall_ms.toFixed(1)} ms`], ["CPU", `${used.cpu_ms.toFixed(1)} ms`],
    ["Peak memory", `${(used.peak_memory_kib / 1024).toFixed(1)} MiB`], ["On", [backend, interpreter].filter(Boolean).join(", ")],
  ];
  if (key) facts.push(["Key", key]);
  if (weaknesses.length) facts.push(["Waived weaknesses", weaknesses.join(", ")]);
  return list(element("dl", { class: "usage" }), facts);
}

function list(into, facts) {
  into.replaceChildren(...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, String(value))]));
  return into;
}

// ---- The pool ----------------------------------------------------------------------------------

let timer = 0;

async function poll() {
  clearTimeout(timer);
  try {
    if (!document.hidden) showPool(await call("/v1/info"));
  } catch (error) {
    $("pool-problem").hidden = false;
    $("pool-problem").textContent = error instanceof Refused ? error.message : "The server cannot be reached.";
  }
  clearTimeout(timer);
  timer = setTimeout(poll, POLL_MS);
}

function showPool(info) {
  const stats = info.stats;
  const known = stats.cache_hits + stats.cache_misses;
  const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
  $("pool-problem").hidden = true;
  $("what").textContent = `${info.backend}, ${info.interpreter}, version ${info.version}` + (info.isolated ? "" : ", NOT ISOLATED");
  list($("pool"), [
    ["Workers", info.workers],
    ["Running", `${sum(stats.items_running)} items, ${stats.scripts_running} of them scripts`],
    ["Waiting", `${sum(stats.queue_depth)} for a place, ${stats.waiting} for a guest`],
    ["Oldest wait", `${stats.oldest_wait_s.toFixed(2)} s`],
    ["Cache", known ? `${stats.cache_hits} of ${known} known` : "not used yet"],
    ["Restarts", stats.restarts],
    ["Limits", `${info.limits.wall_s} s, ${info.limits.cpu_s} s of CPU, ${info.limits.memory_mib} MiB`],
  ]);
  const jails = Object.entries(stats.script_jails).map(([state, count]) => ({ kind: "script jail", state, count })).filter(({ count }) => count);
  const warm = [...stats.workers, ...jails];
  const guests = warm.flatMap(({ kind, state, count }) => Array(count).fill([kind, state]));
  $("workers").replaceChildren(...guests.map(([kind, state]) => element("i", { class: state, title: `${kind}: ${state}` })));
  $("workers").setAttribute("aria-label", warm.map(({ kind, state, count }) => `${count} ${kind} ${state}`).join(", "));
  const waived = info.waived.map(({ name, state, happened }) => `Waived by this server: ${name} (${state}${state === "fails" ? `: ${happened}` : ""})`);
  $("warnings").replaceChildren(...[...waived, ...info.warnings].map((warning) => element("li", {}, warning)));
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
showFields();
for (const [id, text] of Object.entries(EXAMPLES.validate)) $(id).value = text;
poll();
