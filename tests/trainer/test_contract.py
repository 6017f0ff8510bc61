"""A veRL of another version: refused in a sentence, or gone on with after a warning."""

from __future__ import annotations

import pytest

pytest.importorskip("omegaconf", reason="needs the extra 'trainer'")

from trainer.verl_adapter import contract
from trainer.verl_adapter.contract import ContractError, check


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins from the standard library: importing veRL takes long."""
    monkeypatch.setattr(contract, "SIGNATURES", {"json:dumps": ("obj", "indent")})
    monkeypatch.setattr(contract, "CONVENTIONS", {"json.decoder": ("JSONDecodeError",)})
    monkeypatch.setattr("importlib.metadata.version", lambda _name: contract.VERL_VERSION)


def test_the_tested_version_is_taken_without_a_word() -> None:
    assert check() is None


def test_the_command_compares_names_only_where_the_version_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert contract.is_tested()
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "0.10.0")
    assert not contract.is_tested()


def test_another_version_is_refused_and_the_flag_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "0.10.0")
    with pytest.raises(ContractError, match=r"but 0\.10\.0 is installed: all names"):
        check()
    with pytest.raises(ContractError, match=r"\(trainer\.any_verl=true goes on all the same\)"):
        check()
    warning = check(any_version=True)
    assert warning is not None
    assert warning.startswith("going on with veRL 0.10.0, though 0.9.1 is what was tested")


@pytest.mark.parametrize(
    ("table", "content", "says"),
    [
        ("SIGNATURES", {"json:load_all": ()}, "json.load_all is missing"),
        ("SIGNATURES", {"json:dumps": ("colour",)}, "json.dumps has no parameter colour"),
        ("SIGNATURES", {"no_such_module:x": ()}, "no_such_module.x is missing"),
        ("CONVENTIONS", {"json.decoder": ("__rollout_n__",)}, "does not know __rollout_n__"),
        ("CONVENTIONS", {"json.no_such": ("x",)}, "json.no_such is missing"),
    ],
)
def test_what_is_different_is_named_whichever_version_it_is(
    monkeypatch: pytest.MonkeyPatch, table: str, content: dict[str, tuple[str, ...]], says: str
) -> None:
    monkeypatch.setattr(contract, table, content)
    with pytest.raises(ContractError, match=says):
        check()
    assert says in str(check(any_version=True))
