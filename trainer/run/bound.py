"""Program: replaces itself by a command that ends with the process of a given number.

    python -S bound.py PARENT COMMAND...

The wish to be told of the parent's end (PR_SET_PDEATHSIG) outlives exec. A parent that has ended
before it was made is never told of: hence the second look.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("ended: the process that started this one is gone")
    os.execvp(sys.argv[2], sys.argv[2:])
