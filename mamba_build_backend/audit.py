"""Judge a finished wheel by its files: what it needs, whether that keeps its promises, what GPU code it holds.

Works on anybody's wheel. Where the wheel carries a build record, its promises are the record's; the platform tag in the
file name is a promise too.
"""

from __future__ import annotations

import csv
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from ._compat import requirements, utils, version
from .audit_abi import check_abi, read_abi
from .audit_archive import check_archive, check_safe
from .audit_types import Extension, Promise, Provider, Report, TorchFit
from .elf import Needs, Providers, VersionNeed, read_needs
from .errors import FULL, AuditError, Problem, SettingsError
from .repair import RECORD_NAME
from .tables import Floor, load_tables
from .variants import plain_name

_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError, csv.Error
)  # fmt: skip
"""What zipfile, csv, json and the readers of what they hold raise for bytes that are no wheel's."""
_MACHINES = {"x64": "x86_64", "AArch64": "aarch64"}

_FAMILIES = (("glibc", "GLIBC"), ("glibcxx", "GLIBCXX"), ("cxxabi", "CXXABI"), ("gcc", "GCC"))


def audit_wheel(
    wheel: Path,
    *,
    promise: Promise | None = None,
    required: Promise | None = None,
    torches: Sequence[Provider] = (),
) -> Report:
    """Read the wheel and check it. ``torches`` are those in which its unversioned symbols are looked up.

    ``promise`` is what it must keep, by default what its record says; ``required`` what is asked of it beside that.

    Raises AuditError for a file that is no wheel; everything else that is wrong is a problem in the report.
    """
    try:
        _, _, _, tag_set = utils.parse_wheel_filename(plain_name(wheel.name))
    except utils.InvalidWheelFilename as error:
        raise AuditError(
            f"{wheel.name} is not named like a wheel: {error}", "pip reads a wheel's name: undo the renaming"
        ) from None
    try:
        with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory(prefix="mamba-audit-") as folder:
            check_safe(wheel, archive)
            problems = check_archive(wheel, archive)
            names = [name for name in archive.namelist() if re.search(r"\.so(\.\d+)*$", name)]
            record = next(
                (
                    json.loads(archive.read(name))
                    for name in archive.namelist()
                    if name.endswith(f".dist-info/{RECORD_NAME}")
                ),
                None,
            )
            read = [(name, read_needs(path), path) for name in names for path in [Path(archive.extract(name, folder))]]
            asked = requirement_of(archive)
            fits = tuple(_torch_fit(item, read, asked) for item in torches)
            extensions = [_extension(*item, fits[:1]) for item in read]
        promise = promise or recorded_promise(record)
    except FileNotFoundError:
        raise AuditError(f"{wheel} is not there", "the path of a wheel is needed") from None
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise  # the disk's, not the wheel's
        raise AuditError(
            f"{wheel.name} is damaged or was cut off ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
            "a whole file is needed",
            "download or build it again",
        ) from None
    tags = tuple(sorted(str(tag) for tag in tag_set))
    promises = [("the build promised", promise), *([("--require asks for", required)] if required else [])]
    problems += [
        *_check_tags(tags, extensions),
        *_check_torches(fits, asked),
        *_check_floors(tags, extensions, promises),
        *_check_content(extensions, promise, portable=_tag_glibc(tags) is not None),
        *(item for who, kept in promises for item in _check_codes(extensions, kept.codes, who)),
        *(problem for item in extensions for problem in check_abi(item, _tag_python(tags), stable=promise.stable)),
    ]
    requirement = str(asked) if asked is not None else ""
    return Report(wheel.name, wheel.stat().st_size, tags, tuple(extensions), tuple(problems), requirement, fits, record)


def requirement_of(archive: zipfile.ZipFile) -> requirements.Requirement | None:
    """What a wheel's metadata ask of torch; None where nothing."""
    for name in archive.namelist():
        if name.count("/") == 1 and name.endswith(".dist-info/METADATA"):
            message = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
            for text in message.get_all("Requires-Dist") or []:
                item = requirements.Requirement(str(text))
                if utils.canonicalize_name(item.name) == "torch" and item.marker is None:
                    return item
    return None


def _torch_fit(
    torch: Provider, read: Sequence[tuple[str, Needs, Path]], asked: requirements.Requirement | None
) -> TorchFit:
    own = [path for _, _, path in read]
    with Providers([*torch.libraries, *own]) as providers:
        wanted = dict.fromkeys(symbol for _, needs, _ in read for symbol in needs.unversioned)
        missing = [symbol for symbol in wanted if providers.find(symbol) is None]
    # Symbols of CUDA's runtime carry a version, so it is the library's name that tells.
    runtimes = {path.name for path in torch.libraries if path.name.startswith("libcudart.so.")}
    needed = {name for _, needs, _ in read for name in needs.needed if name.startswith("libcudart.so.")}
    known = {name for name in needed if any(runtime == name or runtime.startswith(f"{name}.") for runtime in runtimes)}
    if runtimes:
        missing += sorted(needed - known)
    admitted = asked is None or not torch.version or asked.specifier.contains(torch.version, prereleases=True)
    return TorchFit(torch.site, torch.version, admitted, tuple(missing))


def _check_torches(fits: Sequence[TorchFit], asked: requirements.Requirement | None) -> Iterator[Problem]:
    """One that the wheel asks for, and that lacks something; another is only reported."""
    for fit in fits:
        if fit.asked and fit.missing:
            where = f"torch {fit.version}".strip() if fit.version else f"the torch in {fit.site}"
            found = (
                f"{where}, with its CUDA and this Python, lacks {len(fit.missing)} of what the wheel needs: {fit.shown}"
            )
            needed = "the import would fail" + (f", and the wheel asks for {asked}" if asked is not None else "")
            yield Problem("undefined", found, needed, ())


def parse_required(text: str) -> Promise:
    """What ``--require`` asks for, such as ``glibc=2.17,arch=8.0,arch=PTX``. Raises SettingsError."""
    floors: dict[str, str] = {}
    codes: list[str] = []
    for item in text.split(","):
        key, _, value = (part.strip() for part in item.partition("="))
        if key in dict(_FAMILIES) and re.fullmatch(r"\d+(\.\d+)+", value):
            floors[key] = value
        elif key == "arch" and re.fullmatch(r"\d+\.\d|ptx", value.lower()):
            codes.append(value.replace(".", "").upper())
        else:
            raise SettingsError(
                f"--require: {item.strip()!r} says nothing that can be checked",
                f"it takes {', '.join(dict(_FAMILIES))} with a version, and arch with a compute capability or PTX",
                "--require glibc=2.17,arch=8.0",
            )
    return Promise(Floor(**floors) if floors else None, tuple(codes))


def recorded_promise(record: dict[str, Any] | None) -> Promise:
    """The promise in a wheel's build record; empty where it has none."""
    if not record:
        return Promise()
    plan = record["plan"]
    codes = tuple(
        code if code == "PTX" else _plain(code) for item in plan["front_ends"]["value"] for code in item["codes"]
    )
    parts = [plan, *([plan["companion"]] if plan.get("companion") else [])]
    extensions = tuple(name for part in parts for name in part["upstream"]["value"]["extensions"])
    # A wheel that was not repaired is for its own machine, and promises nothing of others.
    floor = Floor(**record["floor"]["promised"]) if plan.get("repair", True) else None
    stable = plan.get("abi", {}).get("value", {}).get("name") == "stable"
    return Promise(floor, codes, extensions, stable)


def _plain(code: str) -> str:
    return code.rstrip("af")


def measure(path: Path) -> Floor:
    """The symbol versions that one library needs."""
    return _floor(read_needs(path))[0]


def highest(floors: Sequence[Floor]) -> Floor:
    """The newest of each symbol version among several libraries."""

    def newest(field: str) -> str:
        values = [getattr(floor, field) for floor in floors if getattr(floor, field)]
        return max(values, key=version.Version) if values else ""

    return Floor(*(newest(field) for field, _ in _FAMILIES))


def _floor(needs: Needs) -> tuple[Floor, tuple[tuple[str, str, str], ...]]:
    best: dict[str, VersionNeed] = {}
    for need in needs.versions:
        family, _, number = need.version.partition("_")
        if not re.fullmatch(r"\d+(\.\d+)*", number):
            continue
        if family not in best or _number(need) > _number(best[family]):
            best[family] = need
    values = {name: best[family].version.partition("_")[2] if family in best else "" for name, family in _FAMILIES}
    blockers = tuple(
        (best[family].version, best[family].library, " ".join(best[family].symbols[:4]))
        for _, family in _FAMILIES
        if family in best
    )
    return Floor(**values), blockers


def _number(need: VersionNeed) -> version.Version:
    return version.Version(need.version.partition("_")[2])


def _extension(name: str, needs: Needs, path: Path, fits: Sequence[TorchFit]) -> Extension:
    floor, blockers = _floor(needs)
    asked = {*needs.unversioned, *needs.needed}
    unresolved = tuple(name for name in fits[0].missing if name in asked) if fits else None
    return Extension(
        path=name,
        machine=_MACHINES.get(needs.machine, needs.machine),
        size=path.stat().st_size,
        floor=floor,
        blockers=blockers,
        needed=needs.needed,
        rpath=needs.rpath,
        sass=_by_arch(needs, "sass"),
        ptx=_by_arch(needs, "ptx"),
        unversioned=len(needs.unversioned),
        unresolved=unresolved,
        abi=read_abi(path, needs),
    )


def _by_arch(needs: Needs, kind: str) -> tuple[tuple[str, int], ...]:
    sizes: dict[str, int] = {}
    for code in needs.gpu:
        if code.kind == kind:
            sizes[code.arch] = sizes.get(code.arch, 0) + code.size
    return tuple(sorted(sizes.items(), key=lambda item: int(item[0])))


def _tag_glibc(tags: Sequence[str]) -> str | None:
    """The oldest glibc that the file name claims to run on."""
    legacy = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
    found = [f"{match[1]}.{match[2]}" for tag in tags if (match := re.search(r"manylinux_(\d+)_(\d+)_", tag))]
    found += [glibc for tag in tags for name, glibc in legacy.items() if f"{name}_" in tag]
    return min(found, key=version.Version) if found else None


def _tag_python(tags: Sequence[str]) -> str:
    """The oldest Python that an ``abi3`` tag promises: 3.10 of ``cp310-abi3``; empty where there is none."""
    found = [f"{match[1]}.{match[2]}" for tag in tags if (match := re.match(r"cp(\d)(\d+)-abi3-", tag))]
    return min(found, key=version.Version) if found else ""


def _check_tags(tags: Sequence[str], extensions: Sequence[Extension]) -> Iterator[Problem]:
    """What the file name says of machine and Python, against the binaries."""
    undo = ("undo the renaming",)
    for item in extensions:
        known = item.machine in _MACHINES.values()
        if known and not any(tag.endswith((f"_{item.machine}", "-any")) for tag in tags):
            yield Problem("machine", f"{item.path} is for {item.machine}", f"the file name says {tags[0]}", undo)
        built = re.search(r"\.cpython-(\d+t?)-", item.path)
        if built and not any(tag.split("-")[1] == f"cp{built[1]}" for tag in tags):
            yield Problem("python", f"{item.path} is for CPython {built[1]}", f"the file name says {tags[0]}", undo)


def _check_floors(
    tags: Sequence[str], extensions: Sequence[Extension], promises: Sequence[tuple[str, Promise]]
) -> list[Problem]:
    caps = [(who, promise.floor) for who, promise in promises if promise.floor is not None]
    claimed = _tag_glibc(tags)
    if claimed is not None:
        row = load_tables().floor_row(claimed)
        caps.append(
            (f"the tag manylinux_{claimed.replace('.', '_')} allows", Floor(claimed, row.glibcxx, row.cxxabi, row.gcc))
        )
    problems = []
    for extension in extensions:
        for needed, library, symbols in extension.blockers:
            family, _, number = needed.partition("_")
            field = next(name for name, label in _FAMILIES if label == family)
            for who, cap in caps:
                most = getattr(cap, field)
                if most and version.Version(number) > version.Version(most):
                    problems.append(
                        Problem(
                            "floor",
                            f"{extension.path} needs {needed} of {library} (for {symbols})",
                            f"{who} at most {family}_{most}",
                            ("-C sysroot=auto   (build against an older glibc)",),
                        )
                    )
                    break
    return problems


def _check_content(extensions: Sequence[Extension], promise: Promise, *, portable: bool) -> list[Problem]:
    problems = []
    modules = {Path(item.path).name.partition(".")[0] for item in extensions}
    for name in promise.extensions:
        if name not in modules:
            problems.append(
                Problem(
                    "no-extension",
                    f"the wheel holds no {name}.*.so",
                    "it is what this wheel is for",
                    ("-C verbose=true   (see what upstream's build did)",),
                )
            )
    for extension in extensions:
        bad = [part for part in extension.rpath if not part.startswith("$ORIGIN")]
        if bad and portable:
            problems.append(
                Problem(
                    "rpath",
                    f"{extension.path} looks for libraries in {bad[0]}",
                    "a folder of the build machine has no place in a wheel",
                    (),
                )
            )
    return problems


def _check_codes(extensions: Sequence[Extension], codes: Sequence[str], who: str) -> list[Problem]:
    sass = {arch for item in extensions for arch, _ in item.sass}
    ptx = {arch for item in extensions for arch, _ in item.ptx}
    missing = [code for code in codes if (code == "PTX" and not ptx) or (code != "PTX" and code not in sass)]
    if not missing or not extensions:
        return []
    found = f"there is no GPU code for {' '.join(missing)}"
    return [Problem("gpu-code", found, f"{who} it", ("-C verbose=true   (see nvcc's command lines)",))]


def provider(site: Path, release: str, cuda_home: Path | None, python_library: str | None) -> Provider:
    """The torch in a site-packages with what it finds in the same process: CUDA's runtime and Python."""
    out = sorted((site / "torch" / "lib").glob("lib*.so"))
    out += sorted(site.glob("nvidia/*/lib/libcudart.so.*"))
    if cuda_home is not None:
        out += sorted(path for name in ("lib64", "lib") for path in (cuda_home / name).glob("libcudart.so*"))[:1]
    if python_library:
        out.append(Path(python_library))
    return Provider(str(site), release, tuple(path for path in out if path.is_file()))


def check_report(report: Report) -> None:
    """Raise AuditError with all problems of the report, if it has any."""
    if report.problems:
        error = AuditError("the wheel failed its audit")
        error.problems = report.problems
        raise error
