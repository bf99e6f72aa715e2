"""The hooks that build this distribution in a checkout: they gather its files in a folder of their own, and flit_core packs them.

The package lies at the top of the checkout, and the patches beside it. In the distribution they lie in the package, as in a copy in
another project. The sdist is that folder: flit_core alone builds it again.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flit_core import buildapi

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
sys.path.insert(0, str(CHECKOUT))

from mamba_build_backend._version import __version__  # noqa: E402
from mamba_build_backend.core._compat import tomllib  # noqa: E402
from mamba_build_backend.core.own_copy import NAME  # noqa: E402
from mamba_build_backend.wheel.project_files import project_files  # noqa: E402

_OURS = 'build-backend = "from_checkout"\nbackend-path = ["."]\n'
_FLITS = 'build-backend = "flit_core.buildapi"\n'
_LAST_CHANGE = "1577836800"
"""The time of the files where SOURCE_DATE_EPOCH is not set: 2020-01-01, as in the wheels that the backend makes."""


def gather(folder: Path) -> None:
    """Put the distribution's files into an empty folder: the package with patches and licence, and what flit_core reads."""
    for path in project_files(CHECKOUT, os.environ).paths:
        name = path.relative_to(CHECKOUT)
        if name.parts[0] not in (NAME, "patches"):
            continue
        target = folder / name if name.parts[0] == NAME else folder / NAME / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for target in (folder / "LICENSE", folder / NAME / "LICENSE"):
        shutil.copy(CHECKOUT / "LICENSE", target)
    shutil.copy(HERE / "README.md", folder)
    text = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    addresses = (HERE.parent / "addresses.toml").read_text(encoding="utf-8")
    text = standing_alone(text) + urls(**tomllib.loads(addresses))
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def standing_alone(text: str) -> str:
    """This folder's pyproject.toml as it is outside of the checkout: with a version, and flit_core as the backend."""
    own = "".join(line for line in text.splitlines(keepends=True) if line.startswith("requires = "))
    changes = (
        (own, 'requires = ["flit_core>=3.12,<4"]\n'),
        (_OURS, _FLITS),
        ('dynamic = ["version"]', f'version = "{__version__}"'),
    )
    for old, new in changes:
        if text.count(old) != 1:
            raise RuntimeError(f"{HERE / 'pyproject.toml'} does not hold {old!r} once")
        text = text.replace(old, new)
    return text


def urls(repository: str, site: str) -> str:
    """The table ``[project.urls]``; empty while there is no public address."""
    found = {
        "Documentation": site,
        "Source": repository,
        "Changelog": f"{repository}/blob/main/CHANGELOG.md" if repository else "",
        "Issues": f"{repository}/issues" if repository else "",
    }
    lines = [f'{name} = "{address}"\n' for name, address in found.items() if address]
    return "".join(["\n[project.urls]\n", *lines]) if lines else ""


@contextmanager
def _gathered() -> Iterator[None]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="mamba-tool-") as folder:
        gather(Path(folder))
        os.environ.setdefault("SOURCE_DATE_EPOCH", _LAST_CHANGE)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """PEP 517."""
    out = os.path.abspath(wheel_directory)
    with _gathered():
        return str(buildapi.build_wheel(out, config_settings, metadata_directory))


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """PEP 517."""
    out = os.path.abspath(sdist_directory)
    with _gathered():
        return str(buildapi.build_sdist(out, config_settings))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Any = None) -> str:
    """PEP 517."""
    out = os.path.abspath(metadata_directory)
    with _gathered():
        return str(buildapi.prepare_metadata_for_build_wheel(out, config_settings))
