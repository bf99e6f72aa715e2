"""A machine file: ``doctor --save`` writes it, and ``doctor --facts`` makes a plan from it on any other machine.

The file contains settings and facts, but nothing that identifies a person: the home folder, user name, host name and
the values of variables that look like secrets are replaced before anything is written.
"""

from __future__ import annotations

import getpass
import json
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.damage import JSON, why
from ..core.errors import SettingsError
from ..core.facts import SCHEMA, Facts, from_json, to_json
from ..core.files import write_whole
from ..core.outside_text import secrets, without_secrets
from ..core.paths import read_text
from ..core.settings import Place, Settings, known_keys, load_settings
from ..tables import is_version

_KEYS = {"schema", "about", "settings", "environ", "facts", "expect"}


_NOBODY = ("root", "user", "localhost", "host", "home")


@dataclass(frozen=True)
class Private:
    """Words that must not leave a machine."""

    home: str
    user: str
    hosts: tuple[str, ...]
    secrets: tuple[str, ...]
    others: tuple[str, ...] = ()
    """More names of the user: the caller of sudo, or the user of a switched shell."""

    @property
    def users(self) -> tuple[str, ...]:
        """All names of the user, the longest first, without names that every machine has."""
        names = {name for name in (self.user, *self.others) if name and name.lower() not in _NOBODY}
        return tuple(sorted(names, key=len, reverse=True))


def private_words(environ: Mapping[str, str]) -> Private:
    """The words that identify this machine, its user and their secrets."""
    users = [environ[name] for name in ("LOGNAME", "USER", "SUDO_USER", "USERNAME") if environ.get(name)]
    with suppress(Exception):  # no password database entry for this number, as in containers
        users = users or [getpass.getuser()]
    host = socket.gethostname()
    return Private(
        environ.get("HOME", ""),
        users[0] if users else "",
        tuple(dict.fromkeys(name for name in (host, host.partition(".")[0]) if name)),
        secrets(environ),
        tuple(dict.fromkeys(users[1:])),
    )


def without_names(value: Any, private: Private) -> Any:
    """``value`` (of JSON) with everything private replaced in every string."""
    if isinstance(value, dict):
        return {key: without_names(item, private) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_names(item, private) for item in value]
    return _clean(value, private) if isinstance(value, str) else value


def _clean(text: str, private: Private) -> str:
    text = without_secrets(text, private.secrets)
    if private.home.strip("/"):
        text = re.sub(re.escape(private.home.rstrip("/")) + r"(?![\w.-])", "/home/user", text)
    if not re.search(r"[/@\\]", text):
        return text  # "linux" or "debian" may be a host name, but is a system's name here
    for name in private.hosts:
        if name not in _NOBODY:
            around = _around(name, r"[A-Za-z0-9]", r"[^/@:\\]")
            text = re.sub(around, "host", text)
    return without_users(text, private)


def without_users(text: str, private: Private) -> str:
    """The text without the user's names, in upper or lower case, also if a number or word follows."""
    for name in private.users:
        text = re.sub(_around(name, r"[A-Za-z]", r"[^/@:\\_]"), "user", text, flags=re.IGNORECASE)
    return text


def _around(name: str, letter: str, other: str) -> str:
    """A pattern for a name that is not part of a word. A short name must be a whole component of a path."""
    within = other if len(name) < _SHORT else letter
    return f"(?<!{within}){re.escape(name)}(?!{within})"


_SHORT = 4


_FREE_TEXTS = ("local-version", "distribution-name", "variant")


def recording(settings: Settings, facts: Facts, private: Private) -> dict[str, Any]:
    """Settings and facts as JSON values, without names."""
    given: dict[str, str] = {}
    environ: dict[str, str] = {}
    for key, item in known_keys().items():
        place, alias = settings.place(key), item.alias
        value = item.value(settings)
        if place is Place.DEFAULT or value is None:
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        # A variable of torch or CUDA is weaker than a setting, so the file keeps it as a variable.
        (environ if place is Place.ALIAS else given)[alias if place is Place.ALIAS else key] = text
    for key in _FREE_TEXTS:
        if key in given:
            given[key] = without_users(given[key], private)
    body = {"settings": given, "environ": environ, "facts": to_json(facts)}
    return {"schema": SCHEMA, **without_names(json.loads(json.dumps(body)), private)}


def save(path: Path, settings: Settings, facts: Facts, environ: Mapping[str, str]) -> None:
    """Write the machine file. Raises OSError."""
    data = recording(settings, facts, private_words(environ))
    write_whole(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def load(path: Path, settings: Mapping[str, str]) -> tuple[Settings, Facts]:
    """Read a machine file; ``settings`` override those in it. Raises SettingsError, which names the mistake."""
    try:
        data = json.loads(read_text(path))
        if not isinstance(data, dict) or "facts" not in data or set(data) - _KEYS:
            raise ValueError("`doctor --save` did not write it")
        if data.get("schema", SCHEMA) > SCHEMA:
            raise ValueError(f"its schema is {data['schema']}, and this version reads up to {SCHEMA}")
        facts = from_json(data["facts"])
        _check_versions(data["facts"], "facts")
        _check_candidates(facts)
        given, environ = data.get("settings", {}), data.get("environ", {})
        if not all(isinstance(item, str) for part in (given, environ) for item in part.values()):
            raise ValueError("settings are strings")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}", "a machine file is needed", _HOW) from None
    except (*JSON, TypeError, AttributeError) as error:
        raise SettingsError(f"{path} is not a machine file: {why(error)}", "make one on that machine", _HOW) from None
    return load_settings({**given, **settings}, environ, {}), facts


_VERSIONS = ("version", "libc_version", "glibc", "glibcxx", "cxxabi", "driver", "cuda", "python_version", "capability")


def _check_versions(value: Any, where: str) -> None:
    """Check every version: a probe records only valid ones, but a file may contain anything. Raises ValueError."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_versions(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in _VERSIONS and isinstance(item, str) and item and not is_version(item):
                raise ValueError(f"{where}.{key}: {item!r} is not a version")
            if key == "python_tag" and not re.fullmatch(r"[a-z]{2}\d{2,}t?", str(item)):
                raise ValueError(f"{where}.{key}: {item!r} is not a Python tag such as cp311")
            if key == "archs" and not all(re.fullmatch(r"[0-9]{2,3}", str(arch)) for arch in item):
                raise ValueError(f"{where}.{key}: {item!r} are not architectures such as 90")
            _check_versions(item, f"{where}.{key}")


def _check_candidates(facts: Facts) -> None:
    """Check that each usable candidate has a version; only one with a problem may lack it. Raises ValueError."""
    if facts.machine.libc == "glibc" and not facts.machine.libc_version:
        raise ValueError("facts.machine: glibc has no version")
    candidates: tuple[Any, ...] = (*facts.torches, *facts.toolkits, *facts.compilers, *facts.compiler_caches)
    for item in candidates:
        if not item.problem and not item.version:
            raise ValueError(f"facts: a {type(item).__name__.lower()} has neither a version nor a problem")


_HOW = "python -m mamba_build_backend doctor --save machine.json   (on that machine; then use it here: doctor --facts machine.json)"
