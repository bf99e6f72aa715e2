"""Facts that one hook hands over to the next, so that an install probes the machine once.

pip, uv and build run each hook in its own process. The first hook (``get_requires_…``) always probes, and writes its
facts to a file in the user's cache folder. The next hooks read it, and the hook that builds removes it. The file
belongs to one install: its name is a digest of the kind of build, the project, the settings, all variables, this
backend's files, this Python, and the process that calls the hooks. Between hooks the frontend installs the first hook's
requirements. That changes entries of site-packages, conda environments and programs, which a few calls of stat(2)
detect: only a family of facts whose mark differs is probed again.

The plan is a pure function of settings, facts and tables: the same facts give the same plan, so no plan is stored.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..core.damage import JSON
from ..core.facts import Facts, from_json, to_json
from ..core.own_copy import PACKAGE
from ..core.paths import read_bytes, read_text
from ..core.private_store import PrivateStore
from ..core.settings import Settings
from .frontend import PROC, Frontend
from .paths import conda_prefixes
from .torch import NEIGHBOURS, site_folders

_SCHEMA = 1
_VALID = 3600.0
"""Seconds for which facts stay valid: long enough for a frontend to install torch, and short enough to expire soon."""


class Family(Enum):
    """Facts that are probed together."""

    MACHINE = "machine"
    TORCHES = "torches"
    TOOLKITS = "toolkits"
    COMPILERS = "compilers"
    SYSROOTS = "sysroots"
    COMPILER_CACHES = "compiler caches"
    GPUS = "GPUs"


ALL = frozenset(Family)

Marks = Mapping[Family, str]
"""For each family, a digest of the files whose change would change its facts."""


@dataclass(frozen=True)
class Earlier:
    """What an earlier hook of this install found."""

    facts: Facts
    marks: Marks

    def stale(self, marks: Marks) -> frozenset[Family]:
        """The families that must be probed again."""
        return frozenset(family for family in Family if marks.get(family) != self.marks.get(family))


@dataclass(frozen=True)
class Look:
    """Facts, and which families were probed now; the others come from an earlier hook."""

    facts: Facts
    marks: Marks
    fresh: frozenset[Family]

    @property
    def text(self) -> str:
        """The same in one line."""
        if self.fresh == ALL:
            return "looked at this machine"
        again = ", ".join(family.value for family in Family if family in self.fresh)
        return f"using the facts of an earlier hook; looked again at: {again or 'nothing'}"


@dataclass(frozen=True)
class Handover:
    """The file between the hooks of one install."""

    store: PrivateStore
    name: str

    def take(self) -> Earlier | None:
        """The facts of an earlier hook; None if there are none that can be read and trusted."""
        data = self.store.read(self.name, _VALID)
        try:
            content = json.loads(data) if data is not None else None
            if not isinstance(content, dict) or content["schema"] != _SCHEMA:
                return None
            return Earlier(from_json(content["facts"]), {item: str(content["marks"][item.name]) for item in Family})
        except (*JSON, TypeError, KeyError, AttributeError):
            return None

    def leave(self, facts: Facts, marks: Marks) -> None:
        """Write facts for the next hook, and remove the files of abandoned builds."""
        self.store.sweep(_VALID)
        content = {
            "schema": _SCHEMA,
            "marks": {item.name: mark for item, mark in marks.items()},
            # Variables may contain secrets, and each hook reads them itself.
            "facts": {**to_json(facts), "polluted": ()},
        }
        self.store.write(self.name, json.dumps(content).encode())

    def remove(self) -> None:
        """Remove the file, which the install no longer needs."""
        self.store.remove(self.name)


def handover(
    kind: str, project: Path, settings: Settings, environ: Mapping[str, str], cache: Path, *, proc: Path = PROC
) -> Handover | None:
    """The file of this install; None if the process that calls the hooks cannot be identified."""
    caller = _caller(os.getppid(), proc)
    if caller is None:
        return None
    parts = [
        kind,
        os.path.realpath(project),
        repr(settings),
        sorted(environ.items()),
        _backend(),
        [sys.executable, sys.prefix, sys.version],
        caller,
    ]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Handover(PrivateStore(cache / f"hooks-{os.getuid()}"), name)


def _caller(pid: int, proc: Path) -> list[str] | None:
    """A process's unique identity: pid, start time (in clock ticks, proc(5)), boot and PID namespace."""
    try:
        # The program's name, in brackets, may itself contain spaces and brackets.
        fields = read_text(proc / str(pid) / "stat", errors="replace").rpartition(")")[2].split()
        boot = read_text(proc / "sys/kernel/random/boot_id", encoding="ascii").strip()
        return [str(pid), fields[19], boot, os.readlink(proc / "self/ns/pid")]
    except (OSError, IndexError, ValueError):
        return None


def _backend() -> str:
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in (".py", ".toml"):
            digest.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + read_bytes(path))
    return digest.hexdigest()


def read_marks(settings: Settings, environ: Mapping[str, str], frontend: Frontend, facts: Facts) -> Marks:
    """The marks of what can change while a frontend runs: packages, conda environments, the files of ``facts``."""
    sites = [*sys.path, *(sysconfig.get_path(key) for key in ("purelib", "platlib"))]
    sites += [folder for folder, *_ in site_folders(settings, environ, frontend)]
    packages = _packages(dict.fromkeys(os.path.realpath(site) for site in sites if site))
    conda = [_status(prefix / "conda-meta") for prefix, _ in conda_prefixes(environ)]
    torches = [conda, packages["torch"], [_status(Path(item.site, "torch", "version.py")) for item in facts.torches]]
    marks = {
        Family.MACHINE: "",
        Family.TORCHES: torches,
        # Toolkits are also searched next to torch.
        Family.TOOLKITS: [torches, [_status(Path(item.home, "bin", "nvcc")) for item in facts.toolkits]],
        Family.COMPILERS: [conda, packages["zig"], [_status(Path(item.path)) for item in facts.compilers]],
        Family.SYSROOTS: [conda, packages["zig"], [_status(Path(item.path)) for item in facts.sysroots]],
        Family.COMPILER_CACHES: [_status(Path(item.path)) for item in facts.compiler_caches],
        Family.GPUS: packages["nvml"],
    }
    return {family: hashlib.sha256(json.dumps(mark).encode()).hexdigest() for family, mark in marks.items()}


_BESIDE_TORCH = ("torch", *NEIGHBOURS)


def _packages(sites: Iterable[str]) -> dict[str, list[object]]:
    """The entries of site-packages that show torch, zig and NVML; metadata folders with their status."""
    found: dict[str, list[object]] = {"torch": [], "zig": [], "nvml": []}
    for site in sites:
        try:
            names = sorted(os.listdir(site))
        except OSError:
            continue
        for name in names:
            package = re.sub(r"[_.]+", "-", re.split(r"-\d|\.py$", name)[0]).lower()
            # A package's own folder changes when it is imported, because Python writes __pycache__ there.
            entry = [site, name, _status(Path(site, name)) if name.endswith("-info") else None]
            if package in ("pynvml", "nvidia-ml-py"):
                found["nvml"].append(entry)
            elif package == "ziglang":
                found["zig"].append(entry)
            elif package in _BESIDE_TORCH or package.startswith("nvidia"):
                found["torch"].append(entry)
    return found


def _status(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size, status.st_ino]
