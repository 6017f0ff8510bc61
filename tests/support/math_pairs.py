"""Mathematical answers with forms that mean the same, and near misses, all made here."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

_BOX = re.compile(r"\\boxed\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_DECIMAL = re.compile(r"-?\d*\.\d+")
_POWER = re.compile(r"(\d+(?:\.\d+)?)e(-?\d+)")
_ROOT = re.compile(r"(\d+) ?\\sqrt\{?(\d+)\}?")
_WORD = re.compile(r"\\text\{\(?(\w+)\)?\}")
_MATRIX = re.compile(r"\\(begin|end)\{pmatrix\}")
_EXPRESSION = re.compile(r"(?=.*[A-Za-z0-9])[^=,\[\]]*")


class Pair(NamedTuple):
    """An answer, and whether it is right."""

    gold: tuple[str, ...]
    answer: str
    right: bool


def golds(folder: Path) -> list[tuple[str, ...]]:
    """The results of all problems of a folder."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if "final_answer" in row:
                found.append(tuple(row["final_answer"]))
            elif "answer" in row:
                value = row["answer"]
                whole = isinstance(value, float) and value.is_integer()
                found.append((str(int(value) if whole else value),))
            else:
                boxes = _BOX.findall(row["solution"])
                found += [(boxes[-1],)] if boxes else []
    return found


def made(results: list[tuple[str, ...]], wanted: int | None = None) -> list[Pair]:
    """So many pairs, or all, of all results alike, and always the same."""
    chance = random.Random(0)
    every = [pairs(gold, chance) for gold in dict.fromkeys(results)]
    known = [pair for some in every for pair in some]
    chance.shuffle(known)
    return known[:wanted]


def pairs(gold: tuple[str, ...], chance: random.Random) -> list[Pair]:
    """Right and wrong answers to one result."""
    text = ", ".join(gold)
    bare = text.replace("$", "") if r"\$" not in text else text
    right = dict.fromkeys([text, *_written(bare), *_equivalent(bare)])
    wrong = dict.fromkeys(one for one in _near(bare, chance) if one not in right)
    return [Pair(gold, one, True) for one in right] + [Pair(gold, one, False) for one in wrong]


# ---- The same ----------------------------------------------------------------------------------


def _written(bare: str) -> Iterator[str]:
    """How a model writes any result."""
    yield rf"\boxed{{{bare}}}"
    yield rf"Thus it is $\boxed{{{bare}}}$."
    yield rf"\( {bare} \)"
    yield rf"\[\displaystyle {bare}\]"
    yield bare.replace(r"\frac", r"\dfrac")
    yield bare.replace(r"\frac", r"\tfrac")
    yield bare.replace(" ", r"\,") if not re.search(r"\\[A-Za-z]+ ", bare) else bare
    if "=" not in bare and len(_parts(bare)) == 1:
        yield f"x={bare}"
        yield rf"The answer is \boxed{{x = {bare}}}"


def _equivalent(bare: str) -> Iterator[str]:
    """Other forms that mean the same, by the kind of the result."""
    for kind in _KINDS:
        yield from kind(bare)
    if len(found := _parts(bare)) > 1:
        yield ",".join(found)
        yield ", ".join(reversed(found))
        yield f"{', '.join(found[:-1])} and {found[-1]}"
        yield rf"\{{{', '.join(found)}\}}"


def _whole(bare: str) -> Iterator[str]:
    if not re.fullmatch(r"-?\d+", bare):
        return
    value = int(bare)
    yield f"{value}.0"
    yield f"{value}.000"
    yield rf"\frac{{{value * 6}}}{{6}}"
    yield rf"{value} \text{{ cm}}"
    if abs(value) >= 1000:
        yield f"{value:,}"
        yield f"{value:,}".replace(",", "{,}")
        yield f"{value:,}".replace(",", r",\!")


def _fraction(bare: str) -> Iterator[str]:
    if not (match := _FRACTION.fullmatch(bare)):
        return
    value = Fraction(int(match[1] + match[2]), int(match[3]))
    top, bottom = value.numerator, value.denominator
    yield f"{top}/{bottom}"
    yield rf"\frac{{{top * 3}}}{{{bottom * 3}}}"
    yield rf"\frac{{{-top}}}{{{-bottom}}}"
    if not 10**6 % bottom:
        yield f"{float(value):.6f}".rstrip("0")
        yield f"{float(value):.6f}"


def _decimal(bare: str) -> Iterator[str]:
    if not _DECIMAL.fullmatch(bare):
        return
    value = Fraction(bare)
    yield f"{bare}0"
    yield rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    yield f"{value.numerator}/{value.denominator}"
    shift = Decimal(bare).adjusted()
    yield rf"{Decimal(bare).scaleb(-shift)} \times 10^{{{shift}}}"
    yield f"0{bare}" if bare.startswith(".") else bare


def _power_of_ten(bare: str) -> Iterator[str]:
    if match := _POWER.fullmatch(bare):
        yield rf"{match[1]} \times 10^{{{match[2]}}}"
        yield rf"{match[1]}\cdot10^{{{match[2]}}}"
        yield rf"{match[1]} \times 10^{{{match[2]}}} \mathrm{{~m}}"


def _root(bare: str) -> Iterator[str]:
    if match := _ROOT.fullmatch(bare):
        yield rf"{match[1]} \cdot \sqrt{{{match[2]}}}"
        yield rf"\sqrt{{{int(match[1]) ** 2 * int(match[2])}}}"
        yield rf"\sqrt{{{match[2]}}}\cdot {match[1]}"


def _word(bare: str) -> Iterator[str]:
    if match := _WORD.fullmatch(bare):
        word = match[1]
        yield word
        yield rf"\textbf{{{word}}}"
        yield rf"\mathrm{{{word}}}"
        yield f"({word})" if len(word) == 1 else word.upper()


def _degrees(bare: str) -> Iterator[str]:
    if r"^\circ" in bare:
        for sign in ("°", r"^{\circ}", " degrees", r"\text{ degrees}", ""):
            yield bare.replace(r"^\circ", sign)


def _matrix(bare: str) -> Iterator[str]:
    if "pmatrix" in bare:
        yield _MATRIX.sub(r"\\\1{bmatrix}", bare)
        yield bare.replace(" ", "")


def _based(bare: str) -> Iterator[str]:
    if match := re.fullmatch(r"(\d+)_\{?(\d)\}?", bare):
        yield f"{match[1]}_{match[2]}"
        yield f"{match[1]}_{{{match[2]}}}"
        yield rf"{match[1]}_{{\text{{{match[2]}}}}}"


def _bracketed(bare: str) -> Iterator[str]:
    if re.fullmatch(r"[(\[][^()]*[)\]]", bare):
        yield rf"\left{bare[:-1]}\right{bare[-1]}"
        yield bare.replace(" ", "").replace(",", " , ") if r"\ " not in bare else bare


def _signs(bare: str) -> Iterator[str]:
    if r"\pm" in bare:
        plus, minus = bare.replace(r"\pm", "+"), bare.replace(r"\pm", "-")
        yield f"{plus}, {minus}"
        yield rf"x={minus} \text{{ or }} x={plus}"


def _expression(bare: str) -> Iterator[str]:
    """Expressions of letters and numbers, as another way of the same computation."""
    if re.search(r"\\text|_|\\pm|circ|matrix|\\\$|np\.|e\d|\d,", bare):
        return
    if not _EXPRESSION.fullmatch(bare) or not re.search(r"[A-Za-z+]", bare):
        return
    yield rf"\left({bare}\right)"
    yield rf"\frac{{2\left({bare}\right)}}{{2}}"
    yield rf"1+\left({bare}\right)-1"
    if match := re.fullmatch(r"([\w^{}]+) ?\+ ?([\w^{}]+)", bare):
        yield f"{match[2]}+{match[1]}"


_KINDS: tuple[Callable[[str], Iterator[str]], ...] = (
    _whole, _fraction, _decimal, _power_of_ten, _root, _word, _degrees, _matrix, _based, _bracketed,
    _signs, _expression,
)  # fmt: skip


# ---- Near --------------------------------------------------------------------------------------


def _near(bare: str, chance: random.Random) -> Iterator[str]:
    """What a careless model writes instead."""
    yield from _near_number(bare, chance)
    if digits := list(re.finditer(r"\d", bare)):
        for digit in chance.sample(digits, min(2, len(digits))):
            other = str((int(digit[0]) + chance.randint(1, 8)) % 10)
            yield bare[: digit.start()] + other + bare[digit.end() :]
    if match := re.search(r"(?<=[\w})]) ?([-+]) ?(?=[\w\\(])", bare):
        yield bare[: match.start()] + {"+": "-", "-": "+"}[match[1]] + bare[match.end() :]
    start = bare.rfind("=") + 1
    if letters := list(re.finditer(r"(?<![\\A-Za-z{])[a-zN](?![A-Za-z])", bare[start:])):
        place = start + chance.choice(letters).start()
        yield f"{bare[:place]}q{bare[place + 1 :]}"
    if match := _WORD.fullmatch(bare):
        yield "Zoe" if len(match[1]) > 1 else "E"
        yield f"not {match[1]}"
    found = _parts(bare)
    if len(found) > 1:
        yield ", ".join(found[1:])
        yield ", ".join([*found, "977"])
        yield ", ".join([found[0]] * len(found))
    elif match := re.fullmatch(r"\(([^(),]+),([^(),]+)\)", bare):
        yield f"({match[2]},{match[1]})"
    if re.fullmatch(r".*\\infty\)|\(.*\]", bare):
        yield bare.replace("(", "[", 1)
    yield "I do not know"


def _near_number(bare: str, chance: random.Random) -> Iterator[str]:
    if re.fullmatch(r"-?\d+", bare):
        value = int(bare)
        yield str(value + chance.choice([-1, 1]))
        yield f"{value}.5"
        yield str(value * 10 + 3)
        yield rf"\frac{{{value}}}{{7}}" if value else "1/7"
        if value:
            yield str(-value)
    elif match := _FRACTION.fullmatch(bare):
        value, bottom = int(match[1] + match[2]), int(match[3])
        yield f"{value + 1}/{bottom}"
        yield rf"\frac{{{value}}}{{{bottom + 1}}}"
        yield rf"\frac{{{bottom}}}{{{value}}}"
        yield f"{value / bottom + 0.01:.6f}"
        yield f"{value / bottom:.2f}" if 100 % bottom else "977"
    elif match := _POWER.fullmatch(bare):
        yield rf"{match[1]} \times 10^{{{int(match[2]) + 1}}}"
        yield match[1]


def _parts(bare: str) -> list[str]:
    """What stands between the commas outside of brackets."""
    if re.search(r"\d,(?:\\!)? ?\d{3}", bare):
        return [bare]
    found, depth = [""], 0
    for sign in bare:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not depth:
            found.append("")
        else:
            found[-1] += sign
    return [part.strip() for part in found]
