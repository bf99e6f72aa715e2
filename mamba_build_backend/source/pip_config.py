"""Read where the user's installer looks for packages: pip's configuration files and variables, and uv's variables.

A frontend does not pass its command-line options to a backend, but mirrors and proxies are usually in the
configuration. pip documents the files and their order under "Configuration".
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.paths import expanded, read_text

_KEYS = ("index-url", "extra-index-url", "find-links", "trusted-host", "no-index", "cert", "proxy", "timeout")


@dataclass(frozen=True)
class IndexConfig:
    """Package indexes, in order (empty: the installer's default), and how to reach them. ``timeout`` in seconds."""

    index_urls: tuple[str, ...] = ()
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    no_index: bool = False
    cert: str | None = None
    proxy: str | None = None
    timeout: float = 15.0


def read_index_config(environ: Mapping[str, str], *, prefix: str = sys.prefix) -> IndexConfig:
    """Merge the files and the variables; unreadable files count as absent, as they do for pip."""
    merged: dict[str, str] = {}
    for path in config_files(environ, prefix):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(read_text(path))
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                merged.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    for key in _KEYS:
        if value := environ.get("PIP_" + key.upper().replace("-", "_")):
            merged[key] = value
    # uv's variables for the same settings.
    for name, key in (
        ("UV_DEFAULT_INDEX", "index-url"),
        ("UV_INDEX_URL", "index-url"),
        ("UV_EXTRA_INDEX_URL", "extra-index-url"),
        ("UV_FIND_LINKS", "find-links"),
    ):
        if environ.get(name) and key not in merged:
            merged[key] = environ[name].replace(",", " ")
    return IndexConfig(
        index_urls=tuple(merged.get("index-url", "").split()),
        extra_index_urls=tuple(merged.get("extra-index-url", "").split()),
        find_links=tuple(
            link for link in merged.get("find-links", "").split() if "://" in link or os.path.exists(link)
        ),
        trusted_hosts=tuple(merged.get("trusted-host", "").split()),
        no_index=merged.get("no-index", "").lower() in ("1", "true", "yes", "on"),
        cert=merged.get("cert") or None,
        proxy=merged.get("proxy") or None,
        timeout=_seconds(merged.get("timeout", "")),
    )


def config_files(environ: Mapping[str, str], prefix: str) -> list[Path]:
    """Return pip's configuration files, lowest priority first."""
    override = environ.get("PIP_CONFIG_FILE")
    if override == os.devnull:
        return []
    home = expanded(Path(environ.get("HOME", "~")))
    shared = [
        Path(folder) / "pip" / "pip.conf" for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
    ]
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [
        *reversed(shared),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        config / "pip" / "pip.conf",
        Path(prefix) / "pip.conf",
    ]
    return [*files, Path(override)] if override else files


def _seconds(text: str) -> float:
    try:
        return max(1.0, float(text))
    except ValueError:
        return 15.0
