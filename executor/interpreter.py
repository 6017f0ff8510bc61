"""The interpreter that programs run on."""

from __future__ import annotations

import sys

INTERPRETER = "CPython " + ".".join(map(str, sys.version_info[:3]))
"""The guest's interpreter: a copy of the one that runs this package."""
