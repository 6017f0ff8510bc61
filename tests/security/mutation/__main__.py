"""The command: see :mod:`tests.security.mutation.mutate`."""

import sys

from tests.security.mutation.mutate import main

if __name__ == "__main__":
    sys.exit(main())
