"""``python -m mamba_build_backend``."""

from __future__ import annotations

import sys

from .boundary import user_errors

with user_errors():
    from .cli import main

    status = main()
    sys.stdout.flush()
    sys.exit(status)
