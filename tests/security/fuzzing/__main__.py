"""The command: see :mod:`tests.security.fuzzing.fuzz`."""

import sys

from tests.security.fuzzing.fuzz import main

if __name__ == "__main__":
    sys.exit(main())
