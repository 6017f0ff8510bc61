"""``python -m trainer``."""

import sys

from trainer.cli.app import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
