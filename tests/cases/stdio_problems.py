"""Problems of standard input and output: tests, programs that are right and programs that are not.

Written for the tests of ``stdio``: each has something by which harnesses differ.
"""

# ruff: noqa: E501 - a program is a line

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One problem: what goes in and comes out, and who gets it right."""

    name: str
    tests: tuple[tuple[str, str], ...]
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    more: dict[str, Any] = field(default_factory=dict)
    """Other fields of the task."""


def _problem(
    name: str, tests: list[tuple[str, str]], right: list[str], wrong: list[str], **more: Any
) -> Problem:
    return Problem(name, tuple(tests), tuple(right), tuple(wrong), more)


_SUM = [("1 2\n", "3\n"), ("-5 5\n", "0\n"), ("10000000000 1\n", "10000000001\n")]
_WORDS = [("a b a\n", "a 2\nb 1\n"), ("x\n", "x 1\n")]
_ANY_PAIR = "def check(stdin, expected, actual):\n"

PROBLEMS = (
    _problem(
        "two numbers on a line",
        _SUM,
        [
            "a, b = map(int, input().split())\nprint(a + b)",
            "import sys\nprint(sum(map(int, sys.stdin.read().split())))",
            "print(eval(input().replace(' ', '+')))",
        ],
        [
            "a, b = map(int, input().split())\nprint(a - b)",
            "print(3)",
            "",
            "a, b = map(int, input().split())\nreturn a + b",
            "a, b = map(int, input().split())\nprint('sum:', a + b)",
        ],
    ),
    _problem(
        "lines until there are none",
        [("1\n2\n3\n", "6\n"), ("7", "7\n"), ("", "0\n")],
        [
            "s = 0\nwhile True:\n    try:\n        s += int(input())\n    except EOFError:\n        break\n"
            "print(s)",
            "import sys\nprint(sum(int(line) for line in sys.stdin))",
        ],
        ["s = 0\nwhile True:\n    s += int(input())\nprint(s)", "print(int(input()))"],
    ),
    _problem(
        "until a zero, as in a dialogue",
        [("3\n4\n0\n", "? ? ? 7\n"), ("0\n", "? 0\n")],
        ["s = 0\nwhile x := int(input('? ')):\n    s += x\nprint(s)"],
        [
            "s = 0\nwhile x := int(input()):\n    s += x\nprint(s)",
            "s = 0\nwhile x := int(input('? ')):\n    s += x\n    print(s)",
        ],
    ),
    _problem(
        "a count and as many lines",
        [("2\nab\ncd\n", "ba\ndc\n"), ("1\nx y\n", "y x\n")],
        ["for _ in range(int(input())):\n    print(input()[::-1])"],
        [
            "n = int(input())\nprint(input()[::-1])",
            "for _ in range(int(input())):\n    print(input())",
        ],
    ),
    _problem(
        "no newline at the end of the input",
        [("5", "25\n"), ("12", "144\n")],
        ["print(int(input()) ** 2)", "import sys\nprint(int(sys.stdin.readline()) ** 2)"],
        ["import sys\nprint(int(sys.stdin.readline()[:-1] or 0) ** 2)"],
    ),
    _problem(
        "no newline at the end of the output",
        [("a\n", "a"), ("b\n", "b\n")],
        ["print(input(), end='')", "print(input())", "print(input() + '\\n\\n')"],
        ["print(input(), end='x')"],
    ),
    _problem(
        "blanks at the ends of lines do not count",
        [("3\n", "1 2 3\n1 2 3\n")],
        [
            "n = int(input())\nfor _ in range(2):\n    for i in range(n):\n        print(i + 1, end=' ')\n"
            "    print()"
        ],
        [
            "print('1  2 3\\n1 2 3')",
            "print('1 2 3 1 2 3')",
            "print('1 2 3\\n\\n1 2 3')",
            "print(' 1 2 3\\n1 2 3')",
        ],
    ),
    _problem(
        "every blank counts",
        [("x\n", " x \n")],
        ["print(f' {input()} ')"],
        ["print(f' {input()}')", "print(f' {input()} ', end='')"],
        compare={"text": "exact"},
    ),
    _problem(
        "only words count",
        _WORDS,
        [
            "from collections import Counter\n"
            "for w, n in sorted(Counter(input().split()).items()):\n    print(w, n)",
            "w = input().split()\nprint(*[f'{x}\\t{w.count(x)}' for x in sorted(set(w))])",
        ],
        ["w = input().split()\nprint(*[f'{x}{w.count(x)}' for x in sorted(set(w))])"],
        compare={"text": "tokens"},
    ),
    _problem(
        "floats, nearly",
        [("2\n", "1.41421356\n"), ("10000\n", "100.0\n")],
        [
            "print(float(input()) ** 0.5)",
            "print('%.7f' % float(input()) ** 1 if 0 else format(float(input()) ** .5, '.7f'))",
        ],
        ["print(int(float(input()) ** 0.5))", "print('nan')", "print('1.41 421356')"],
        compare={"text": "numbers", "atol": 1e-6},
    ),
    _problem(
        "floats, by their share",
        [("1e9\n", "3141592653.589793\n"), ("1e-9\n", "3.14159265358e-09\n")],
        ["import math\nprint(math.pi * float(input()))"],
        ["print(3.14 * float(input()))", "print(0)"],
        compare={"text": "numbers", "rtol": 1e-9},
    ),
    _problem(
        "whole numbers are exact, however near",
        [("1\n", "1000000000001\n")],
        ["print(10**12 + 1)", "print('+1000000000001')"],
        ["print(10**12)"],
        compare={"text": "numbers", "rtol": 1e-6},
    ),
    _problem(
        "a text of numbers is none by itself",
        [("1\n", "0.50\n")],
        ["print('0.50')"],
        ["print(0.5)"],
    ),
    _problem(
        "text of all the world",
        [("straße ñ 日本 🎉\n", "🎉 本日 ñ eßarts\n"), ("é\n", "é\n")],
        ["print(input()[::-1])"],
        [
            "print(input().encode('latin-1', 'replace').decode('latin-1')[::-1])",
            "print(ascii(input()[::-1]))",
        ],
    ),
    _problem(
        "Windows line ends in the input",
        [("1\r\n2\r\n", "3\n")],
        ["print(int(input()) + int(input()))"],
        ["a = input()\nprint(a + input())"],
    ),
    _problem(
        "an early exit with the right output",
        [("7\n", "odd\n"), ("8\n", "even\n")],
        [
            "import sys\nif int(input()) % 2:\n    print('odd')\n    sys.exit()\nprint('even')",
            "if int(input()) % 2:\n    print('odd')\n    exit(0)\nprint('even')",
            "import os, sys\nprint('odd' if int(input()) % 2 else 'even')\nsys.stdout.flush()\nos._exit(0)",
        ],
        [
            "import os\nprint('odd' if int(input()) % 2 else 'even')\nos._exit(0)",
            "import sys\nprint('odd' if int(input()) % 2 else 'even')\nsys.exit(1)",
            "import os\nos._exit(0)",
            "raise SystemExit",
        ],
    ),
    _problem(
        "an exception after the output is one",
        [("1\n", "1\n")],
        ["print(input())"],
        ["print(input())\n1 / 0", "print(input(), flush=True)\nraise KeyboardInterrupt"],
    ),
    _problem(
        "errors and prompts on the other stream",
        [("4\n", "16\n")],
        ["import sys\nprint('debug', file=sys.stderr)\nprint(int(input()) ** 2)"],
        ["import sys\nprint(int(input()) ** 2, file=sys.stderr)"],
    ),
    _problem(
        "threads",
        [("4\n", "0 1 4 9\n")],
        [
            "import threading\nn = int(input())\nr = [0] * n\n"
            "def work(i):\n    r[i] = i * i\n"
            "t = [threading.Thread(target=work, args=(i,)) for i in range(n)]\n"
            "for x in t: x.start()\nfor x in t: x.join()\nprint(*r)",
            "import sys, threading\nsys.setrecursionlimit(10000)\nthreading.stack_size(1 << 24)\n"
            "def main():\n    print(*[i * i for i in range(int(input()))])\n"
            "t = threading.Thread(target=main)\nt.start()\nt.join()",
        ],
        [
            "import threading\ndef main():\n    print(*[i for i in range(int(input()))])\n"
            "threading.Thread(target=main).start()"
        ],
    ),
    _problem(
        "deep recursion",
        [("5000\n", "12502500\n")],
        [
            "import sys\nsys.setrecursionlimit(20000)\n"
            "def s(n):\n    return n + s(n - 1) if n else 0\nprint(s(int(input())))"
        ],
        ["def s(n):\n    return n + s(n - 1) if n else 0\nprint(s(int(input())))"],
    ),
    _problem(
        "main blocks are run",
        [("3\n", "6\n")],
        ["def main():\n    print(int(input()) * 2)\nif __name__ == '__main__':\n    main()"],
        [
            "def main():\n    print(int(input()) * 2)\nif __name__ == 'main':\n    main()",
            "def main():\n    print(int(input()) * 2)",
        ],
    ),
    _problem(
        "input by every way there is",
        [("1\n2\n3\n4\n", "10\n")],
        [
            "import sys\na = int(input())\nb = int(sys.stdin.readline())\nc = int(next(sys.stdin))\n"
            "print(a + b + c + int(sys.stdin.read()))",
            "print(sum(map(int, open(0))))",
            "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))",
            "import os\nprint(sum(map(int, os.read(0, 100).split())))",
            "import fileinput\nprint(sum(int(line) for line in fileinput.input()))",
            "print(sum(map(int, open('/dev/stdin').read().split())))",
        ],
        ["import sys\nprint(sum(map(int, sys.argv)))"],
    ),
    _problem(
        "arguments",
        [("2\n", "6\n")],
        ["import sys\nprint(int(input()) * int(sys.argv[1]))"],
        ["print(int(input()) * 2)"],
        argv=("3",),
    ),
    _problem(
        "files that are given",
        [("b\n", "2\n"), ("a\n", "1\n")],
        ["print(dict(line.split() for line in open('table/map.txt'))[input()])"],
        ["print(dict(line.split() for line in open('map.txt'))[input()])", "print(1)"],
        files={"table/map.txt": b"a 1\nb 2\n"},
    ),
    _problem(
        "files that are written do not last from test to test",
        [("a\n", "1\n"), ("b\n", "1\n")],
        [
            "import os\nwith open('seen', 'a') as f:\n    f.write('x')\nprint(os.path.getsize('seen'))"
        ],
        ["print(2)"],
    ),
    _problem(
        "two answers are right: a checker",
        [("10\n", "3 7\n"), ("2\n", "1 1\n")],
        ["n = int(input())\nprint(1, n - 1)", "n = int(input())\nprint(n - 1)\nprint(1)"],
        ["n = int(input())\nprint(0, n)", "print('1 x')", "print(1)", "print('True')", ""],
        checker=_ANY_PAIR
        + "    a, b = map(int, actual.split())\n    return a > 0 < b and a + b == int(stdin)",
    ),
    _problem(
        "a checker that fails on what is no number",
        [("1\n", "5\n")],
        ["print(5)", "print(' 05 ')"],
        ["print('five')", "print('[' * 1000)"],
        checker=_ANY_PAIR + "    return int(actual) == int(expected)",
    ),
    _problem(
        "a checker cannot be talked to",
        [("1\n", "5\n")],
        ["print(5)"],
        [
            "print('True')",
            "import sys\nsys.stdout.write('\\x00True')",
            "import builtins\nbuiltins.int = lambda x: 5\nprint('x')",
            "import builtins\nbuiltins.check = lambda *a: True\nprint(6)",
        ],
        checker=_ANY_PAIR + "    return actual.strip() == expected.strip()",
    ),
    _problem(
        "the last test is another one",
        [(f"{n}\n", f"{n * n}\n") for n in range(9)] + [("100\n", "-1\n")],
        ["n = int(input())\nprint(n * n if n < 100 else -1)"],
        ["n = int(input())\nprint(n * n)"],
    ),
    _problem(
        "other outputs learnt by heart",
        [("1\n", "alpha beta\n"), ("2\n", "gamma delta\n")],
        ["print(['alpha beta', 'gamma delta'][int(input()) - 1])"],
        ["print('alpha beta')"],
    ),
    _problem(
        "output without end",
        [("1\n", "1\n")],
        ["print(input())"],
        ["while True:\n    print('x' * 1000)"],
    ),
    _problem(
        "an empty output is one",
        [("1\n", ""), ("2\n", "\n")],
        ["", "pass", "print()", "print('   ')"],
        ["print(0)", "1 / 0", "print(chr(0))"],
    ),
    _problem(
        "a dialogue that nobody answers",
        [("", "guess\n")],
        ["print('guess', flush=True)"],
        ["print('guess', flush=True)\ninput()"],
    ),
)
