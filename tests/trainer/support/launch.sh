#!/bin/sh
# Stands for the interpreter where Ray starts a worker (fork_server.py).
exec "$TRAINER_TESTS_PYTHON" -I -S "${0%/*}/launch.py" "$@"
