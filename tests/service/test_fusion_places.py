"""Files that clients of SandboxFusion fetch by absolute paths."""

from __future__ import annotations

import base64

import httpx
import pytest

WRITES = """
import os
for path in ("a.txt", "/mnt/b", "/tmp/c", "/dev/shm/d", os.path.expanduser("~/e"), "/box/f"):
    with open(path, "w") as file:
        file.write(path[-1])
os.mkdir("/mnt/deep")
open("/mnt/deep/g", "w").write("g")
os.symlink("/etc/passwd", "/mnt/link")
"""


def fetched(client: httpx.Client, names: list[str]) -> dict[str, bytes]:
    body = {"language": "python", "code": WRITES, "fetch_files": names}
    answer = client.post("/run_code", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["status"] == "Success", found
    return {name: base64.b64decode(text) for name, text in found["files"].items()}


def test_files_come_back_under_the_names_they_were_asked_for(client: httpx.Client) -> None:
    names = ["a.txt", "/mnt/b", "/tmp/c", "/dev/shm/d", "/box/e", "/box/f", "e", "/mnt/deep/g",
             "/box//./a.txt", "/tmp/b"]  # fmt: skip
    found = fetched(client, names)
    assert found == dict(
        zip(names, [b"t", b"b", b"c", b"d", b"e", b"f", b"e", b"g", b"t", b"b"], strict=True)
    )


def test_what_is_no_plain_file_there_is_left_out(client: httpx.Client) -> None:
    assert fetched(client, ["/mnt/link", "/mnt/deep", "/tmp/none"]) == {}


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/mnt", "/mnt/", "/mnt/..", "/tmp/../etc/passwd", "/mntx/a", "/", "/box/."],
)
def test_other_places_are_refused(client: httpx.Client, path: str) -> None:
    body = {"language": "python", "code": "", "fetch_files": [path]}
    assert client.post("/run_code", json=body).status_code == 422
