"""Models as JSON: what Python writes is what the service and its clients read."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from executor import Script, ScriptResult, Status
from executor.client.bodies import script_json

CONTENT = b"\xfb\xff\xfe"  # tells the dialects of base64 apart: "+//+" and "-__-"


def test_bytes_are_standard_base64() -> None:
    result = ScriptResult(
        status=Status.OK, stdout=CONTENT, stderr=b"e", files={"a": CONTENT}, detail=""
    )
    text = result.model_dump_json()
    written = json.loads(text)
    assert (written["stdout"], written["stderr"], written["files"]) == (
        "+//+",
        "ZQ==",
        {"a": "+//+"},
    )
    assert ScriptResult.model_validate_json(text) == result
    assert result.model_dump()["stdout"] == CONTENT


def test_clients_send_the_same_form() -> None:
    script = Script(source="", files={"a": CONTENT})
    assert json.loads(script_json(script, None)) == {"source": "", "files": {"a": "+//+"}}
    assert Script.model_validate_json(script.model_dump_json()) == script


@pytest.mark.parametrize("text", ['"-__-"', '"YQ"', '"not base64"', "[1, 2]", "1"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="base64"):
        Script.model_validate_json(f'{{"source": "", "files": {{"a": {text}}}}}')
