"""``python -m mamba_build_backend``."""

from __future__ import annotations

import sys

from .core.error_boundary import user_errors

with user_errors():
    from .cli.main import main

    status = main()
    sys.stdout.flush()
    sys.exit(status)
