"""``python -m executor``."""

from __future__ import annotations

import sys

from executor.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
