"""``python -m cfgate_middleware``: the command ``cfgate``."""

from __future__ import annotations

import sys

from cfgate_middleware._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
