"""A general script for ``python -m executor run``: input, files, a process, and no network.

Give it some text with ``--stdin FILE``; without it, it uses a sentence of its own.
"""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

text = sys.stdin.read() or "the quick brown fox jumps over the lazy dog near the river"
words = Counter(text.lower().split())

report = Path("report.txt")
report.write_text("\n".join(f"{count:4d} {word}" for word, count in words.most_common(3)) + "\n")
print(f"{words.total()} words; the most frequent ones:")
print(report.read_text(), end="")

child = [sys.executable, "-c", "print(sum(range(101)))"]
print("a child process says:", subprocess.check_output(child, text=True).strip())

opener = [sys.executable, "-c", "import socket; socket.socket(type=socket.SOCK_RAW)"]
code = subprocess.run(opener, check=False).returncode
outcome = f"is ended by {signal.Signals(-code).name}" if code < 0 else f"ends with exit code {code}"
print("a child process that opens a raw socket", outcome)
