"""Qwen3's think tokens taken out of its tokenizer.

Qwen3's tokenizer has ``<think>`` and ``</think>`` as single tokens, which the base models never saw
in training. Without them these tags are spelt with ordinary tokens, as in other models. The files
of the model's folder are changed in place; the originals are kept beside them and come back with
``--revert``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer.files import write_atomically

TOKENS = ("<think>", "</think>")
BACKUP = ".with_think_tokens"
"""Added to the name of an original."""


class TokenizerFilesError(ValueError):
    """The folder is not what is needed; the text says why."""


def remove(model: Path) -> tuple[str, ...]:
    """Take the tokens out of all tokenizer files of a folder; returns the names of changed files.

    Raises:
        TokenizerFilesError: no tokenizer files, not JSON, done already, or no think tokens.
        OSError: a file cannot be read or written.
    """
    if not (model / "tokenizer_config.json").is_file():
        raise TokenizerFilesError(f"{model} has no tokenizer_config.json")
    if _backups(model):
        raise TokenizerFilesError(f"{model} was changed before; --revert brings the originals back")
    changed = {}
    for name, edit in _EDITS.items():
        path = model / name
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TokenizerFilesError(f"{path} is no JSON: {error}") from error
        if edit(content):
            changed[path] = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    if not changed:
        raise TokenizerFilesError(f"the tokenizer of {model} has no think tokens")
    for path in changed:
        # Whole or not at all: a half-written original would be taken for one.
        write_atomically(path.with_name(path.name + BACKUP), path.read_bytes())
    for path, text in changed.items():
        write_atomically(path, text)
    return tuple(path.name for path in changed)


def revert(model: Path) -> tuple[str, ...]:
    """Bring the originals back; returns their names.

    Raises:
        TokenizerFilesError: there are none.
        OSError: a file cannot be written.
    """
    backups = _backups(model)
    if not backups:
        raise TokenizerFilesError(f"{model} has no originals to bring back")
    for backup in backups:
        backup.replace(backup.with_name(backup.name.removesuffix(BACKUP)))
    return tuple(backup.name.removesuffix(BACKUP) for backup in backups)


def _backups(model: Path) -> list[Path]:
    return sorted(model.glob(f"*{BACKUP}"))


def _edit_config(content: Any) -> bool:
    """``tokenizer_config.json``: added tokens by their number, and perhaps a list of them."""
    decoder = content.get("added_tokens_decoder", {})
    numbers = [number for number, token in decoder.items() if token.get("content") in TOKENS]
    for number in numbers:
        del decoder[number]
    found = bool(numbers)
    for name in ("additional_special_tokens", "extra_special_tokens"):
        tokens = content.get(name)
        if isinstance(tokens, list):
            content[name] = [token for token in tokens if token not in TOKENS]
            found = found or len(content[name]) < len(tokens)
    return found


def _edit_tokenizer(content: Any) -> bool:
    """``tokenizer.json``: a list of added tokens."""
    tokens = content.get("added_tokens", [])
    kept = [token for token in tokens if token.get("content") not in TOKENS]
    content["added_tokens"] = kept
    return len(kept) < len(tokens)


def _edit_added(content: Any) -> bool:
    """``added_tokens.json``: numbers by token."""
    found = [token for token in TOKENS if token in content]
    for token in found:
        del content[token]
    return bool(found)


_EDITS: dict[str, Callable[[Any], bool]] = {
    "tokenizer_config.json": _edit_config,
    "tokenizer.json": _edit_tokenizer,
    "added_tokens.json": _edit_added,
}
