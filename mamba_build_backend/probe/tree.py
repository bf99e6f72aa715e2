"""Probe a source tree without running it: its name and version, its files by content, and how each patch fits."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..core import archives
from ..core._compat import utils
from ..core.errors import SourceError
from ..core.facts import Torch
from ..core.own_copy import NAME
from ..core.paths import entries, exists, is_dir, is_file, is_link, matching, read_bytes, resolved
from ..core.projects import partners, read_projects
from ..core.source_files import source_files, tree_sha256
from ..core.tree_facts import Fault, Fit, Owner, PatchFit, Tree
from ..core.unified_diff import FileDiff, fit, parse
from ..tables import PATCHES, PatchRow, load_tables
from ..tables.forks import CUDA, CXX, PYTHON, SOURCES
from ..tables.likeness import is_for, likeness, placed
from ..tables.released import digest
from .setup_py import SetupPy, imported, own_imports, parsed, read_setup_py
from .torch_use import NO_CODE, torch_headers, torch_names

_MOST_BYTES = 2 << 30
"""The largest total size of a tree; archives have the same limit."""
_MOST_FILES = 20_000
_READ_BYTES = 16 << 20
"""The largest source file to read; upstream's largest has 100 kB."""
_BESIDE = 200
"""The most folders next to a tree that are checked."""
_OWN_HEADER = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_STAND_INS = (b"<!DOCTYPE", b"<!doctype", b"<html", b"version https://git-lfs")
_CONFLICT = re.compile(rb"^(?:<{7} |>{7} )", re.MULTILINE)


def probe_trees(path: Path, torches: Sequence[Torch] = ()) -> tuple[Tree, ...]:
    """The tree at ``path``, and trees next to it that have the name of a project's partner."""
    tree = probe_tree(path, torches)
    beside = []
    for other in entries(path.parent)[:_BESIDE]:
        if other != path and is_dir(other) and is_file(other / "setup.py"):
            name = utils.canonicalize_name(read_setup_py(other).name)
            if name in partners() and name != utils.canonicalize_name(tree.name):
                beside.append(probe_tree(other, torches))
    return (tree, *beside)


def probe_archive(archive: Path, torches: Sequence[Torch] = ()) -> tuple[Tree, ...]:
    """The tree in an archive, which is unpacked temporarily; a damaged archive becomes a tree with a fault."""
    with tempfile.TemporaryDirectory(prefix="mamba-build-source-") as folder:
        try:
            top = archives.unpack(archive, Path(folder) / "unpacked")
        except SourceError as error:
            why = error.problems[0].found.removeprefix(f"{archive.name} ")
            return (Tree(str(archive), is_archive=True, faults=(Fault("", why),)),)
        own = is_file(top / "setup.py")
        lower = () if own else (*matching(top, "*/setup.py"), *matching(top, "*/*/setup.py"))
        below = tuple(sorted(item.parent.relative_to(top).as_posix() for item in lower))
        return (replace(probe_tree(top, torches), path=str(archive), is_archive=True, below=below, has_setup=own),)


def probe_tree(path: Path, torches: Sequence[Torch] = ()) -> Tree:
    """One tree."""
    said = read_setup_py(path)
    found = Tree(str(path), name=said.name, version=said.version, packages=said.packages, extensions=said.extensions)
    files = [item for item in source_files(path) if item.relative_to(path).parts[0] != NAME]
    sizes = [_size(item) for item in files]
    if len(files) > _MOST_FILES or sum(sizes) > _MOST_BYTES:
        return replace(
            found, faults=(Fault("", f"contains over {_MOST_FILES:,} files, or over {_MOST_BYTES >> 30} GB"),)
        )
    names = {item.relative_to(path).as_posix(): size for item, size in zip(files, sizes)}
    contents = {
        name: _content(path / name) for name, size in names.items() if name.endswith(SOURCES) and size <= _READ_BYTES
    }
    read = {name: data for name, data in contents.items() if data is not None}
    unreadable = [Fault(name, "cannot be read") for name in contents if name not in read]
    faults = (*said.faults, *unreadable, *_missing(path, said, read), *_faults(read, said))
    return replace(
        found,
        sha256="" if unreadable else _sha256(path),
        files=tuple((name, digest(data)) for name, data in read.items()),
        fits=tuple(_fits(said.name, said.version, read)),
        faults=tuple(dict.fromkeys(faults)),
        headers=torch_headers(read),
        names=torch_names(read),
        imports=_imports(_own(said, read), said.packages),
        build_imports=said.imports,
        owners=tuple(_owners((*said.packages, *said.extensions, *said.perhaps), torches)),
    )


def _size(path: Path) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _sha256(path: Path) -> str:
    try:
        return tree_sha256(path, without=NAME)
    except OSError:
        return ""


def _content(path: Path) -> bytes | None:
    # A link could lead to another user's file: it does not count as source, and is copied as a link.
    try:
        return None if is_link(path) else read_bytes(path)
    except OSError:
        return None


def _missing(path: Path, said: SetupPy, read: Mapping[str, bytes]) -> Iterator[Fault]:
    """Files that are compiled, included or imported, but missing: the tree is incomplete."""
    for name in said.sources:
        if not os.path.isabs(name) and not exists(path / name):
            yield Fault(name, "missing, but setup.py compiles it")
    released = {name.rpartition("/")[2] for item in load_tables().released for name in item.contents}
    there = {name.rpartition("/")[2] for name in read}
    for name, data in read.items():
        if name.endswith((*CUDA, *CXX)):
            for text in _OWN_HEADER.findall(data):
                header = text.decode("utf-8", "replace").rpartition("/")[2]
                if header in released - there:
                    yield Fault(header, f"missing, but {name} includes it")
    for importer, module in _lost_imports(said, _own(said, read)):
        place = path / said.root / module.replace(".", "/")
        if not (is_dir(place) or matching(place.parent, f"{place.name}*.so")):
            yield Fault(f"{said.root}{module.replace('.', '/')}.py", f"missing, but {said.root}{importer} imports it")


def _own(said: SetupPy, read: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of the project's packages, by their path below the packages' folder."""
    inside = {name[len(said.root) :]: data for name, data in read.items() if name.startswith(said.root)}
    return {name: data for name, data in inside.items() if name.partition("/")[0] in said.packages}


def _lost_imports(said: SetupPy, read: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """The project's own modules that are missing when a package is imported, each with the file that imports it."""
    waiting = [f"{package}/__init__.py" for package in said.packages]
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        module = parsed(read.get(name, b""))
        for inner in () if isinstance(module, str) else own_imports(module, said.packages):
            parts = inner.split(".")
            files = [f"{'/'.join(parts[:end])}/__init__.py" for end in range(1, len(parts) + 1)] + [
                f"{'/'.join(parts)}.py"
            ]
            if inner not in said.extensions and not any(file in read for file in files[-2:]):
                yield name, inner
            waiting += [file for file in files if file in read and file not in seen]
            seen.update(files)


def _faults(read: Mapping[str, bytes], said: SetupPy) -> Iterator[Fault]:
    """Files that no compiler and no Python can read."""
    own = {f"{said.root}{name}" for name in _own(said, read)}
    for name, data in read.items():
        compiled = name.endswith((*CUDA, *CXX))
        if not (compiled or name in own):
            continue
        if _NO_TEXT.search(data):
            yield Fault(name, "contains bytes that are not text, so it is damaged")
        elif data.startswith(_STAND_INS):
            yield Fault(name, "a web page or a Git LFS pointer instead of source code")
        elif _CONFLICT.search(data):
            yield Fault(name, "contains conflict markers of an unfinished merge")
        elif compiled and not data.strip():
            yield Fault(name, "the file is empty")
        elif name.endswith((".cu", ".cpp")) and not (_CODE.search(NO_CODE.sub(b"", data)) or _OWN_HEADER.search(data)):
            yield Fault(name, "contains no code, so it is damaged")
        elif compiled and _ends_amidst(data):
            yield Fault(name, "ends inside a block, so the rest is missing")
        elif name.endswith(PYTHON) and isinstance(module := parsed(data), str):
            yield Fault(name, module)


_CODE = re.compile(rb"^[ \t]*[^\s#]", re.MULTILINE)
"""A line that is not a preprocessor directive."""
_IF, _ELSE, _END = (
    re.compile(rb"^[ \t]*#[ \t]*" + word + rb"\b") for word in (rb"if(?:n?def)?", rb"el(?:se|if)", rb"endif")
)


def _ends_amidst(data: bytes) -> bool:
    """Whether C++ ends inside a block, brackets, a comment or a word; only the first branch of an ``#if`` counts."""
    code = NO_CODE.sub(b"", data)
    blocks, brackets, ifs, left = 0, 0, 0, 0  # left: the depth of the #if whose other branches are skipped; 0 for none
    for line in code.splitlines():
        if _IF.match(line):
            ifs += 1
        elif _ELSE.match(line):
            left = left or ifs
        elif _END.match(line):
            left = 0 if left == ifs else left
            ifs -= 1
        elif not left:
            blocks += line.count(b"{") - line.count(b"}")
            brackets += line.count(b"(") - line.count(b")")
    last = b"" if data.endswith(b"\n") else code.rpartition(b"\n")[2].strip()
    in_a_word = bool(last) and not last.startswith(b"#") and not last.endswith((b"}", b";", b")", b"\\"))
    return blocks > 0 or brackets > 0 or ifs > 0 or b"/*" in code or in_a_word


def _fits(name: str, version: str, read: Mapping[str, bytes]) -> Iterator[PatchFit]:
    """How each patch fits, after the fitting patches before it."""
    tables = load_tables()
    files = {path: digest(data) for path, data in read.items()}
    fork = likeness(files, utils.canonicalize_name(name), version, tables.released)
    if fork is None:
        return
    known = next(item for item in tables.released if item.project == fork.project)
    places = placed(known.contents, files)
    now = {path: read[place] for path, place in places.items()}
    for patch in tables.patches:
        changes = _changes(patch)
        if changes is None:
            continue
        if not is_for(patch, [item.name for item in changes if item.name in now], fork, known, files):
            continue
        fitted = fit(changes, now.get)
        now.update(fitted.files)
        if fitted.fit is not Fit.ABSENT:
            yield PatchFit(patch.file, fitted.fit, fitted.place)


def _changes(patch: PatchRow) -> tuple[FileDiff, ...] | None:
    try:
        return parse(read_bytes(PATCHES / patch.file))
    except (OSError, ValueError):
        return None  # a build that needs this patch reports it


def _imports(read: Mapping[str, bytes], packages: Sequence[str]) -> tuple[str, ...]:
    """The packages of known projects that the modules import unconditionally; other imports decide nothing."""
    known = {name for data in read_projects().values() for name in data.get("packages", ())} - set(packages)
    found = set()
    for name, data in read.items():
        if name.endswith(PYTHON) and name.partition("/")[0] in packages:
            module = parsed(data)
            found |= set() if isinstance(module, str) else known & set(imported(module))
    return tuple(sorted(found))


def _owners(modules: Sequence[str], torches: Sequence[Torch]) -> Iterator[Owner]:
    """The installed distributions that contain modules of these names."""
    tops = {name.partition(".")[0] for name in modules}
    for site in dict.fromkeys(resolved(torch.site) for torch in torches):
        there = {
            top for top in tops if exists(site / top) or matching(site, f"{top}*.so") or exists(site / f"{top}.py")
        }
        if not there:
            continue
        for record in matching(site, "*.dist-info/RECORD"):
            name, _, version = record.parent.name.removesuffix(".dist-info").partition("-")
            try:
                text = read_bytes(record).decode("utf-8", "replace")
            except OSError:
                continue
            held = {re.split(r"[/.,]", line, maxsplit=1)[0] for line in text.splitlines()}
            yield from (Owner(top, utils.canonicalize_name(name), version) for top in sorted(there & held))
