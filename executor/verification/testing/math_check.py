"""Says whether a mathematical answer is right. This runs in a sandbox with the library set
``math``, one answer in a process; on the host it is only text.

Texts are first compared as texts, without what has no meaning; then math-verify compares their
values. Its own time-outs are off: they need signals. The sandbox has limits.
"""

import re
from decimal import Decimal

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

_SPACES = re.compile(r"\\[,!;:> ]|\\q?quad\b|~|\s+")
_DROPPED = re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\displaystyle|\\limits|\$")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree\b|°|\bdegrees?\b")
_FRACTION = re.compile(r"\\[dtc]frac(?![a-z])")
_SHORT_FRACTION = re.compile(r"\\frac\s*([0-9a-z])\s*([0-9a-z])(?![0-9])")
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_UNIT = re.compile(
    r"(?<=[0-9}\])])\s*(?:\\(?:text|mathrm|mbox)\s*"
    r"\{(?!~?(?:e|i|d|sin|cos|tan|log|ln|exp)\})[^{}]*\}(?:\s|/|\\cdot|\^\{?-?[0-9]+\}?)*)+$"
)
_PLAIN_UNIT = re.compile(r"(?<=[0-9])\s+[A-Za-z]{2,}[A-Za-z ^0-9/]*\.?$")
_THOUSANDS = re.compile(r"^([-+]?[0-9]{1,3})((?:(?:,|\{,\}|\\,)[0-9]{3})+)((?:\.[0-9]+)?)$")
_NAMED = re.compile(r"^\s*[A-Za-z](?:_\{?\w+\}?)?(?:\([A-Za-z, ]*\))?\s*=\s*(?=[^=])")
_POWER = re.compile(
    r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]|\s*(?:\\times|\\cdot)\s*10\s*\^\s*(?=[0-9{-]))"
    r"\{?\s*([-+]?[0-9]{1,3})\s*\}?"
)
_BASED = re.compile(r"([0-9]+)_\{?([0-9]+)\}?")
_TIMES_FRACTION = re.compile(r"(?<![\w^_.])([0-9]+(?:\.[0-9]+)?)\s*\((?=\\frac)")
_PRECISION = 1e-6
"""By what share of them small numbers may differ."""
_OPEN, _CLOSE = "([{", ")]}"
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def check(expected, answer, tolerance):
    """Whether an answer is right, and the text that was looked at.

    ``expected``: texts that all have to be there, in any order. ``tolerance``: by how much numbers
    may differ, or ``None``.
    """
    answer = unboxed(answer)
    wanted = [part for text in expected for part in parts(unboxed(text))]
    found = parts(answer)
    if len(expected) == 1 and same(expected[0], answer, tolerance):
        return True, answer
    if len(wanted) != len(found):
        return False, answer
    return matched(wanted, found, tolerance), answer


def matched(wanted, found, tolerance):
    """Whether each of the wanted texts stands for one of those found."""
    left = list(found)
    for text in wanted:
        place = next((at for at, other in enumerate(left) if same(text, other, tolerance)), None)
        if place is None:
            return False
        del left[place]
    return True


def same(expected, answer, tolerance):
    """Whether two texts have the same meaning."""
    first, second = plain(expected), plain(answer)
    if not re.search("[A-Za-z]", first):  # else it may be a product
        second = _PLAIN_UNIT.sub("", second)
    if not second:
        return False
    if first == second or spelt(first) == spelt(second):
        return True
    if based := _BASED.fullmatch(spelt(first)):  # math-verify does not look at the base
        return spelt(second) == based[1]
    if tolerance is not None and near(first, second, tolerance):
        return True
    if is_small(first) and _NUMBER.fullmatch(second):  # math-verify rounds to six places
        return near(first, second, _PRECISION * abs(float(first)))
    return equal(first, second)


def equal(first, second):
    """What math-verify says of two texts."""
    gold, target = read(first), read(second)
    return bool(gold and target) and bool(verify(gold, target, timeout_seconds=None))


def read(text):
    """The values that math-verify finds in a text that is all formula."""
    text = _TIMES_FRACTION.sub(r"\1 \\cdot (", text)  # else it may be read as a mixed number
    targets = [LatexExtractionConfig(boxed_match_priority=-1), ExprExtractionConfig()]
    return parse(f"${text}$", targets, fallback_mode="no_fallback", parsing_timeout=None)


def near(first, second, tolerance):
    """Whether two numbers differ by no more."""
    if _NUMBER.fullmatch(first) and _NUMBER.fullmatch(second):
        return abs(float(first) - float(second)) <= tolerance
    return False


def is_small(text):
    """Whether a text is a number between -1 and 1."""
    return bool(_NUMBER.fullmatch(text)) and abs(float(text)) < 1


def plain(text):
    """A text without what has no meaning: signs of formulas, units, a name before it."""
    text = unboxed(text).strip().rstrip(".").strip()
    text = text.replace("\\$", "").replace("−", "-").replace("\\%", "%")
    text = _DROPPED.sub("", re.sub(r",\s*\\!\s*", "{,}", text))
    text = re.sub(r"\\[()\[\]]", "", text)
    text = re.sub(r"\{[bB]matrix\}", "{pmatrix}", text)
    text = _DEGREES.sub("", text)
    text = _FRACTION.sub(r"\\frac", text)
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\mathrm\s*\{([eid])\}", r"\1", text)
    text = _UNIT.sub("", text.strip())
    if _named(text):
        text = _NAMED.sub("", text, count=1)
    text = text.strip()
    if grouped := _THOUSANDS.match(text):
        return grouped[1] + re.sub("[^0-9]", "", grouped[2]) + grouped[3]
    if power := _POWER.fullmatch(text):
        return format(Decimal(f"{power[1]}e{power[2]}"), "f")
    return _SPACES.sub(" ", text).strip()


def _named(text):
    """Whether a text says what something is: one sign of equality, and none of order."""
    return text.count("=") == 1 and not re.search(r"[<>]|\\[lg]eq?\b", text)


def spelt(text):
    """A text as letters: words without their commands, in lower case, without blanks."""
    text = _WORDS.sub(r"\1", text)
    text = re.sub(r"_\{(\w)\}", r"_\1", text)
    text = re.sub(r"\^\{(\w)\}", r"^\1", text)
    text = re.sub(r"(?<![0-9])\s+|\s+(?![0-9.])", "", text.replace("\\", "")).lower()
    return text[1:-1] if re.fullmatch(r"\([a-z]\)", text) else text


def unboxed(text):
    """The content of the last box, or the text itself."""
    starts = list(_BOX.finditer(text))
    if not starts:
        return text
    depth, start = 1, starts[-1].end()
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if not depth:
            return text[start:at]
    return text[start:]


def parts(text):
    """What stands between the commas of a text that are in no brackets, and between and, or."""
    text = _DROPPED.sub("", text)
    if _THOUSANDS.match(plain(text)) or _THOUSANDS.match(text.strip()):
        return [text]
    text = re.sub(r"\\(?:text|mbox)\s*\{\s*,?\s*(?:and|or)\s*\}", ",", text)
    text = re.sub(r",?\s+(?:and|or)\s+", ",", text)
    text = re.sub(r"^\s*[A-Za-z]\s*=\s*(?=.*,)|^\s*[A-Za-z]\s*\\in\s*", "", text)
    found, depth, start = [], 0, 0
    for at, sign in enumerate(text):
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if sign in ",;" and depth == 0 and text[at : at + 1] and not _in_number(text, at):
            found.append(text[start:at])
            start = at + 1
    found.append(text[start:])
    return [part.strip() for part in found if part.strip()]


def _in_number(text, at):
    """Whether a comma is one of a number like 1{,}000."""
    return text[at - 1 : at] == "{" and text[at + 1 : at + 2] == "}"
