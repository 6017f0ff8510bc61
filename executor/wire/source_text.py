"""The bytes of a script's source, as its interpreter is to read them."""

from __future__ import annotations

import codecs
import io
import tokenize

_NOT_OF_TEXTS = frozenset({
    "idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7", "utf-16",
    "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be",
})  # fmt: skip
"""Codecs that no source file is written in, or that are slow on purpose."""


def encode_source(source: str, language: str) -> bytes:
    """A text so that it is the same text when it is read: Python goes by the encoding that the
    first lines declare, if any."""
    plain = source.encode("utf-8", "surrogatepass")
    if language == "bash" or b"coding" not in plain[:_LOOKED_AT]:
        return plain
    try:
        return source.encode(declared(plain))
    except (SyntaxError, LookupError, UnicodeError):
        return plain  # the interpreter says what is wrong with it


def decode_source(raw: bytes, language: str) -> str:
    """A source file as its interpreter reads it.

    Raises:
        UnicodeDecodeError: it is not in the encoding that it declares, or in UTF-8.
    """
    try:
        encoding = "utf-8" if language == "bash" else declared(raw)
    except (SyntaxError, LookupError):
        encoding = "utf-8"
    return raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)


_LOOKED_AT = 1 << 10


def declared(raw: bytes) -> str:
    """The encoding of a Python source. Raises ``SyntaxError`` or ``LookupError``."""
    head = b"\n".join(raw.split(b"\n", 2)[:2])[:_LOOKED_AT]
    # What is looked for is ASCII, wherever the rest is in.
    readable = head.decode("ascii", "replace").replace("\ufffd", "?").encode()
    bom = raw.startswith(codecs.BOM_UTF8)
    readable = codecs.BOM_UTF8 + readable[3:] if bom else readable
    name, _ = tokenize.detect_encoding(io.BytesIO(readable).readline)
    known = codecs.lookup(name)
    if known.name in _NOT_OF_TEXTS or not known._is_text_encoding:
        raise LookupError(name)
    return name
