"""Takes the host's socket as standard input and output, and becomes another program.

Arguments: the socket's path, the program, its arguments.
"""

import _socket  # socket would cost every container's start time
import os
import sys


def main() -> None:
    """Connect, and become the program."""
    connection = _socket.socket(_socket.AF_UNIX)
    connection.connect(sys.argv[1])
    for descriptor in (0, 1):
        os.dup2(connection.fileno(), descriptor)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
