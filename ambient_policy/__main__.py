"""``python -m ambient_policy``: the command ``ambient-policy``."""

import sys

from ambient_policy.cli import main

if __name__ == "__main__":
    sys.exit(main())
