"""Judge a finished wheel by its files: its requirements, its promises, its GPU code.

Works on any wheel. The promises are those in the wheel's build record, if there is one, and the platform tag in the
file name.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core._compat import requirements, utils, version
from ..core.errors import AuditError, Problem, SettingsError
from ..core.paths import is_file, matching
from ..symbols.elf import Needs, not_defined, read_needs
from ..symbols.floors import (
    FAMILIES,
    Asked,
    EffectiveFloor,
    TorchNeeds,
    effective_floor,
    floor_of,
    highest,
    larger,
)
from ..symbols.quick_reader import newest_needs
from ..tables import Floor, load_tables
from ..wheel.build_record import BuildRecord
from ..wheel.variants import plain_name
from .abi import check_abi, read_abi
from .archive import read_archive
from .types import Extension, Promise, Provider, Report, TorchFit

_MOST_TAGS = 1000
"""A wheel has one tag, or the few of a compressed set of manylinux tags."""


def audit_wheel(
    wheel: Path,
    *,
    promise: Promise | None = None,
    required: Promise | None = None,
    torches: Sequence[Provider] = (),
) -> Report:
    """Read the wheel and check it. Unversioned symbols are looked up in each torch of ``torches``.

    ``promise`` is the wheel's promise, by default from its build record; ``required`` are additional requirements.

    Raises AuditError if the file is not a wheel; every other fault is a problem in the report.
    """
    try:
        _, _, _, tag_set = utils.parse_wheel_filename(plain_name(wheel.name))
    except ValueError as error:  # InvalidWheelFilename, and what its parts raise
        raise AuditError(
            f"{wheel.name} is not a valid wheel name: {error}", "pip reads a wheel's name: undo the renaming"
        ) from None
    if len(tag_set) > _MOST_TAGS:
        raise AuditError(f"the name of {wheel.name} stands for {len(tag_set):,} tags", "a wheel has one or a few")
    with tempfile.TemporaryDirectory(prefix="mamba-audit-") as folder:
        held = read_archive(wheel, Path(folder))
        read = [(name, read_needs(path), path) for name, path in held.libraries]
        fits = tuple(_torch_fit(item, read, held.torch) for item in torches)
        extensions = [_extension(*item, fits[:1]) for item in read]
    promise = promise or recorded_promise(held.record)
    tags = tuple(sorted(str(tag) for tag in tag_set))
    promises = [("the build promised", promise), *([("--require asks for", required)] if required else [])]
    problems = [
        *held.problems,
        *_check_sections(extensions),
        *_check_tags(tags, extensions),
        *_check_torches(fits, held.torch),
        *_check_floors(tags, extensions, promises),
        *_check_content(extensions, promise, portable=_tag_glibc(tags) is not None),
        *(item for who, kept in promises for item in _check_codes(extensions, kept.codes, who)),
        *(problem for item in extensions for problem in check_abi(item, _tag_python(tags), stable=promise.stable)),
    ]
    tied = held.torch is not None or any(item.uses_torch for item in extensions)
    admitted = next((item for item, fit in zip(torches, fits) if fit.asked), None) if tied else None
    known = (torch_needs(admitted) if admitted else None) or (held.record.torch_needs() if held.record else None)
    blockers = [blocker for item in extensions for blocker in item.blockers]
    return Report(
        wheel=wheel.name,
        size=wheel.stat().st_size,
        tags=tags,
        extensions=tuple(extensions),
        problems=tuple(problems),
        requires_torch=str(held.torch) if held.torch is not None else "",
        torches=fits,
        effective_floor=effective_floor(blockers, known, load_tables()) if extensions else None,
        record=held.record,
    )


def _torch_fit(
    torch: Provider, read: Sequence[tuple[str, Needs, Path]], asked: requirements.Requirement | None
) -> TorchFit:
    own = [path for _, _, path in read]
    missing = not_defined((symbol for _, needs, _ in read for symbol in needs.unversioned), [*torch.libraries, *own])
    # Symbols of CUDA's runtime have a version, so compare the library's name.
    runtimes = {path.name for path in torch.libraries if path.name.startswith("libcudart.so.")}
    needed = {name for _, needs, _ in read for name in needs.needed if name.startswith("libcudart.so.")}
    known = {name for name in needed if any(runtime == name or runtime.startswith(f"{name}.") for runtime in runtimes)}
    if runtimes:
        missing += sorted(needed - known)
    admitted = asked is None or not torch.version or asked.specifier.contains(torch.version, prereleases=True)
    return TorchFit(torch.site, torch.version, admitted, tuple(missing))


def _check_torches(fits: Sequence[TorchFit], asked: requirements.Requirement | None) -> Iterator[Problem]:
    """Yield a problem for each torch that the wheel admits and that lacks symbols; other torches are only reported."""
    for fit in fits:
        if fit.asked and fit.missing:
            where = f"torch {fit.version}".strip() if fit.version else f"the torch in {fit.site}"
            found = (
                f"{where}, with its CUDA and this Python, lacks {len(fit.missing)} of the symbols and libraries "
                f"that the wheel needs: {fit.shown}"
            )
            needed = "the import would fail" + (f", and the wheel requires {asked}" if asked is not None else "")
            yield Problem("undefined", found, needed, ())


def parse_required(text: str) -> Promise:
    """Parse the value of ``--require``, such as ``glibc=2.17,arch=8.0,arch=PTX``. Raises SettingsError."""
    floors: dict[str, str] = {}
    codes: list[str] = []
    for item in text.split(","):
        key, _, value = (part.strip() for part in item.partition("="))
        if key in dict(FAMILIES) and re.fullmatch(r"\d+(\.\d+)+", value):
            floors[key] = value
        elif key == "arch" and re.fullmatch(r"\d+\.\d|ptx", value.lower()):
            codes.append(value.replace(".", "").upper())
        else:
            raise SettingsError(
                f"--require: {item.strip()!r} is not a valid requirement",
                f"it takes {', '.join(dict(FAMILIES))} with a version, and arch with a compute capability or PTX",
                "--require glibc=2.17,arch=8.0",
            )
    return Promise(Floor(**floors) if floors else None, tuple(codes))


def recorded_promise(record: BuildRecord | None) -> Promise:
    """Return the promise in a build record; empty without one. A local wheel promises nothing for other machines."""
    if record is None:
        return Promise()
    codes = tuple(code if code == "PTX" else _plain(code) for code in record.gpu_code.codes)
    extensions = tuple(name for source in record.sources for name in source.extensions)
    return Promise(record.floor.promised if record.repaired else None, codes, extensions, record.abi == "stable")


def _plain(code: str) -> str:
    return code.rstrip("af")


def measure(path: Path) -> Floor:
    """Return the symbol versions that one library needs."""
    return floor_of(read_needs(path))[0]


def measure_all(paths: Sequence[Path], torch: Provider | None) -> tuple[Floor, EffectiveFloor]:
    """Return what several libraries need, and what a system needs for them and this torch together."""
    found = [floor_of(read_needs(path)) for path in paths]
    blockers = [blocker for _, asked in found for blocker in asked]
    return highest([floor for floor, _ in found]), effective_floor(
        blockers, torch_needs(torch) if torch else None, load_tables()
    )


def torch_needs(torch: Provider) -> TorchNeeds | None:
    """Return what the libraries in torch/lib need of the system, and which library needs it; None if they are unreadable."""
    best = {family: Asked() for _, family in FAMILIES}
    for path in torch.libraries:
        # Skip CUDA's libraries, and this machine's Python, which was built for this machine's glibc.
        if path.parent.parts[-2:] == ("torch", "lib"):
            for family, number in newest_needs([path]).items():
                if larger(best[family], Asked(number)).set_by == "torch":
                    best[family] = Asked(number, path.name)
    if not best["GLIBC"].version:
        return None
    return TorchNeeds(torch.version, "libraries", best["GLIBC"], best["GLIBCXX"], best["CXXABI"])


def _extension(name: str, needs: Needs, path: Path, fits: Sequence[TorchFit]) -> Extension:
    floor, blockers = floor_of(needs)
    lacking = set(fits[0].missing) if fits else set()
    unresolved = tuple(dict.fromkeys(name for name in (*needs.unversioned, *needs.needed) if name in lacking))
    return Extension(
        path=name,
        machine=needs.machine,
        size=path.stat().st_size,
        floor=floor,
        blockers=blockers,
        needed=needs.needed,
        rpath=needs.rpath,
        sass=_by_arch(needs, "sass"),
        ptx=_by_arch(needs, "ptx"),
        unversioned=len(needs.unversioned),
        unresolved=unresolved if fits else None,
        abi=read_abi(path, needs),
        sections=needs.sections,
        shared=needs.shared,
    )


def _by_arch(needs: Needs, kind: str) -> tuple[tuple[str, int], ...]:
    sizes: dict[str, int] = {}
    for code in needs.gpu:
        if code.kind == kind:
            sizes[code.arch] = sizes.get(code.arch, 0) + code.size
    return tuple(sorted(sizes.items(), key=lambda item: int(item[0])))


def _tag_glibc(tags: Sequence[str]) -> str | None:
    """Return the oldest glibc that the file name claims to support."""
    legacy = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
    found = [
        f"{match[1]}.{match[2]}" for tag in tags if (match := re.search(r"manylinux_([0-9]{1,9})_([0-9]{1,9})_", tag))
    ]
    found += [glibc for tag in tags for name, glibc in legacy.items() if f"{name}_" in tag]
    return min(found, key=version.Version) if found else None


def _tag_python(tags: Sequence[str]) -> str:
    """Return the oldest Python that an ``abi3`` tag promises: 3.10 for ``cp310-abi3``; empty without such a tag."""
    found = [f"{match[1]}.{match[2]}" for tag in tags if (match := re.match(r"cp([0-9])([0-9]{1,9})-abi3-", tag))]
    return min(found, key=version.Version) if found else ""


def _check_sections(extensions: Sequence[Extension]) -> Iterator[Problem]:
    """Yield a problem for each library without a section table: its needs are unknown, not empty."""
    for item in extensions:
        if not item.sections:
            found = f"{item.path} has no section table (it was stripped), so its symbol versions cannot be read"
            fix = ("build it again, with strip --strip-unneeded, which keeps the table",)
            yield Problem("sections", found, "the audit needs the symbol versions", fix)


def _check_tags(tags: Sequence[str], extensions: Sequence[Extension]) -> Iterator[Problem]:
    """Compare the machine and Python in the file name with the binaries."""
    undo = ("undo the renaming",)
    pythons = {tag.split("-")[1] for tag in tags}
    for item in extensions:
        if not item.shared:
            needed = "Python can load only shared libraries, not programs or object files"
            yield Problem("kind", f"{item.path} is not a shared library", needed, ("build it again",))
        if not any(tag.endswith((f"_{item.machine}", "-any")) for tag in tags) or " " in item.machine:
            yield Problem("machine", f"{item.path} is for {item.machine}", f"the file name says {tags[0]}", undo)
        built = re.search(r"\.cpython-([0-9]+t?)-", item.path)
        if built and f"cp{built[1]}" not in pythons:
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
            field = next(name for name, label in FAMILIES if label == family)
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


def _module(path: Path) -> str:
    """``package.name`` of ``package/name.cpython-311-x86_64-linux-gnu.so``."""
    return ".".join([*path.parent.parts, path.name.partition(".")[0]])


def _check_content(extensions: Sequence[Extension], promise: Promise, *, portable: bool) -> list[Problem]:
    problems = []
    modules = {_module(Path(item.path)) for item in extensions}
    for name in promise.extensions:
        if name not in modules:
            problems.append(
                Problem(
                    "no-extension",
                    f"the wheel holds no {name.replace('.', '/')}.*.so",
                    "the wheel must contain this module",
                    ("-C verbose=true   (shows what upstream's build did)",),
                )
            )
    for extension in extensions:
        bad = [part for part in extension.rpath if not part.startswith("$ORIGIN")]
        if bad and portable:
            problems.append(
                Problem(
                    "rpath",
                    f"{extension.path} searches for libraries in {bad[0]}",
                    "a wheel must not refer to folders of the build machine",
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
    found = f"the wheel has no GPU code for {' '.join(missing)}"
    return [Problem("gpu-code", found, f"{who} it", ("-C verbose=true   (shows nvcc's command lines)",))]


def provider(site: Path, release: str, cuda_home: Path | None, python_library: str | None) -> Provider:
    """Return the torch in a site-packages with the libraries of the same process: CUDA's runtime and Python."""
    out = matching(site / "torch" / "lib", "lib*.so")
    out += matching(site, "nvidia/*/lib/libcudart.so.*")
    if cuda_home is not None:
        out += sorted(path for name in ("lib64", "lib") for path in matching(cuda_home / name, "libcudart.so*"))[:1]
    if python_library:
        out.append(Path(python_library))
    return Provider(str(site), release, tuple(path for path in out if is_file(path)))


def check_report(report: Report) -> None:
    """Raise AuditError with all problems of the report, if there are any."""
    if report.problems:
        error = AuditError("the wheel failed its audit")
        error.problems = report.problems
        raise error
