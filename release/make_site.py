"""Build the documentation's site with the project's addresses: ``python release/make_site.py FOLDER``.

Its page "Explain a log" gets Python and this backend (browser_python.py), which needs npm and its registry.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from browser_python import put_python
from plan import ROOT
from steps import step, variables


def main() -> int:
    """Build the site; a broken link is an error."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    told = tomllib.loads((ROOT / "distributions" / "addresses.toml").read_text(encoding="utf-8"))
    env = {
        **variables(),
        "MAMBA_REPOSITORY": told["repository"],
        "MAMBA_SITE": told["site"],
        "NO_MKDOCS_2_WARNING": "1",
    }
    site = Path(sys.argv[1]).absolute()
    step(
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        site,
        env=env,
    )
    put_python(site)
    return 0


if __name__ == "__main__":
    sys.exit(main())
