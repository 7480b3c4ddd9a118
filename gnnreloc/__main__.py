"""``python -m gnnreloc``: the same as the command ``gnnreloc``."""

import sys

from gnnreloc.cli import main

if __name__ == "__main__":
    sys.exit(main())
