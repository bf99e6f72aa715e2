"""``python -m mamba_build_backend``, and the console script ``mamba-build-backend``."""

from __future__ import annotations

import sys

from .core.error_boundary import user_errors


def run() -> int:
    """Run a command; return its exit status. Errors that the user can fix become lines on stderr and SystemExit."""
    with user_errors():
        from .cli.main import main

        status = main()
        sys.stdout.flush()
        return status


if __name__ == "__main__":
    sys.exit(run())
