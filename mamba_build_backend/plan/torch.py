"""Choose the torch that the wheel is for, and check which other packages must match it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ..core._compat import requirements, specifiers, utils
from ..core.facts import Facts, Origin, Torch
from ..core.settings import Settings
from ..core.versions import parsed
from ..tables import ProjectVersion, Tables, TorchRow, admits, is_newer, minor
from .abi import decide_abi
from .notebook import Notebook
from .offers import Offers
from .remedies import build_for_rocm, dotted_python
from .torch_builds import fitting, is_condas, is_release, no_torch_fits, nvcc_for, torch_ways
from .types import Abi, Choice, Rejected, TorchTarget
from .upstream import decide_upstream

DOWNLOAD = "2 to 3 GB with its CUDA libraries"
"""torch 2.15 and its requirements: 2.3 GB, measured; builds for CUDA 12 are larger."""


def decide_torch(
    settings: Settings, facts: Facts, tables: Tables, notebook: Notebook
) -> tuple[Choice[Torch | None], TorchTarget]:
    """The torch to build for, or the requirement that installs one."""
    wanted = _wanted(settings, facts, notebook)
    rejected: list[Rejected] = []
    blockers: list[tuple[Torch, str]] = []
    for item in facts.torches:
        name = f"torch {item.version} in {item.site}"
        if wanted is not None and not wanted.specifier.contains(item.version or "0", prereleases=True):
            rejected.append(Rejected(name, f"does not match {wanted}"))
            continue
        why = _misfit(item, facts.machine.python_tag)
        if why:
            rejected.append(Rejected(name, why))
            blockers.append((item, why))
            continue
        because = item.found_in + (f", which matches {wanted}" if wanted is not None else "")
        _note_newer(item.version, tables, notebook)
        return Choice(item, because, tuple(rejected)), TorchTarget(
            requirement=f"torch=={minor(item.version)}.*",
            version=item.version,
            cuda=item.cuda or "",
            cxx11_abi=item.cxx11_abi,
            # Upstream's sources are C++17, which older torch headers also accept.
            cxx_standard=max(17, item.cxx_standard),
            setuptools=tables.torch_row(minor(item.version)).setuptools,
        )
    if blockers:
        why = f"the torch found here cannot be used: {blockers[0][1]}"
        problem = _rocm if blockers[0][0].hip else _problem
        return Choice(None, why, tuple(rejected)), problem(settings, *blockers[0], facts, tables, notebook)
    python = dotted_python(facts.machine)
    if wanted is not None:
        row = _row_of(wanted, tables)
        because = f"no installed torch matches {wanted}, so the build installs it"
        requirement = str(wanted)
        if asked := _pinned(wanted):
            _note_newer(asked, tables, notebook)
    else:
        row = _newest(tables, facts)
        because = "no torch was found, so the build installs the newest known one"
        notebook.warning(
            f"no torch in {facts.machine.python_prefix}. Is this the right environment? "
            f"Otherwise torch {row.version} will be downloaded ({DOWNLOAD})"
        )
        requirement = f"torch=={row.version}.*"
    if python not in row.python and not _newer_python(python, row):
        notebook.problem(
            "torch-python",
            f"torch {row.version} has no wheels for Python {python}",
            f"torch {row.version} supports Python {row.python[0]} to {row.python[-1]}",
            *[f"-C torch=torch=={item.version}.*" for item in reversed(tables.torch) if python in item.python][:1],
            f"use Python {row.python[-1]}",
        )
    target = _target(requirement, row.version, _cuda_of(wanted) or row.cuda, row)
    return Choice(None, because, tuple(rejected), forced=wanted is not None), target


def for_many(
    torch: Choice[Torch | None], target: TorchTarget, notebook: Notebook
) -> tuple[Choice[Torch | None], TorchTarget]:
    """The decision for a stable wheel, which needs no torch headers; a torch named by a setting is still installed."""
    target = replace(target, cxx_standard=17)  # upstream's sources are C++17
    if torch.value is not None or torch.forced or any(item.code.startswith("torch-") for item in notebook.problems):
        return torch, target
    because = f"no torch was found, and abi=stable needs none to build; the plan assumes torch {target.version}"
    return replace(torch, because=because), target


def _wanted(settings: Settings, facts: Facts, notebook: Notebook) -> requirements.Requirement | None:
    """The setting as a requirement; None if it is not set or names a folder."""
    if settings.torch == "auto" or any(item.origin is Origin.SETTING for item in facts.torches):
        return None
    wanted: requirements.Requirement | None = None
    try:
        wanted = requirements.Requirement(settings.torch)
    except requirements.InvalidRequirement:
        wanted = None
    if wanted is not None and utils.canonicalize_name(wanted.name) == "torch":
        return wanted
    notebook.problem(
        "torch-setting",
        f"torch: {settings.torch!r} is neither a folder that contains torch nor a requirement on torch",
        "one of the two is needed",
        "-C torch=torch==2.11.*",
        "-C torch=/path/to/lib/python3.11/site-packages",
    )
    return None


def _misfit(item: Torch, python_tag: str) -> str:
    if item.hip:
        return "a ROCm (AMD) build"
    built_for = "".join((item.tag or "").split("-")[1:2])
    if built_for.startswith("cp") and built_for != python_tag:
        return f"built for {built_for}, but this Python is {python_tag}"
    if item.problem:
        return item.problem
    return "" if item.cuda else "built without CUDA"


def _rocm(settings: Settings, item: Torch, why: str, _: Facts, tables: Tables, notebook: Notebook) -> TorchTarget:
    """A torch for AMD GPUs. Its user wants it, so no command replaces it."""
    notebook.problem(
        "torch-rocm",
        f"torch {item.version} in {item.site}: {why}",
        "this backend builds for NVIDIA GPUs only, and does not replace that torch",
        build_for_rocm(settings.upstream),
        "-C torch=/path/to/site-packages   (for an NVIDIA GPU: another environment's, with a CUDA torch)",
    )
    row = tables.torch_row(minor(item.version)) if item.version else tables.torch[-1]
    return _target(f"torch=={row.version}.*", item.version or row.version, row.cuda, row)


def _problem(
    settings: Settings, item: Torch, why: str, facts: Facts, tables: Tables, notebook: Notebook
) -> TorchTarget:
    """Report that the torch here is unusable, with commands for the same version in another build, and for others.

    The rest of the plan assumes the first fix, so that its own problems are shown at the same time.
    """
    code = "torch-cpu" if not item.cuda and not item.problem else "torch-broken"
    known = list(fitting(facts, tables))
    same = minor(item.version) if item.version and is_release(item.version) else ""
    newest = _newest(tables, facts)
    offers = _offers(settings, facts, tables, newest)
    kept = sorted(
        (build for build in known if build.row.version == same), key=lambda build: nvcc_for(build, offers) is None
    )
    build = next(iter([*kept, *known]), None)
    row, cuda = (build.row, build.cuda) if build else (newest, newest.cuda)
    ways = torch_ways(offers, keep=item, note="for CUDA {cuda}")
    if not ways:
        ways = [no_torch_fits(facts, tables)]
    if not is_condas(item):
        ways.append(f"-C torch=torch=={newest.version}.*   (build for that torch instead of the installed one)")
    notebook.problem(code, f"torch {item.version} in {item.site}: {why}", "a torch built for CUDA is needed", *ways)
    return _target(f"torch=={row.version}.*", item.version or row.version, cuda, row)


def _offers(settings: Settings, facts: Facts, tables: Tables, row: TorchRow) -> Offers:
    """All offers of nvcc, to find the torch builds that could be compiled for."""
    target, unsaid = _target("", row.version, row.cuda, row), Notebook()
    upstream = decide_upstream(settings, facts, tables, target, dotted_python(facts.machine), unsaid).value
    abi = decide_abi(settings, facts, tables, upstream, target, unsaid).value
    return Offers(settings, facts, tables, upstream, None, target, abi)


def _target(requirement: str, release: str, cuda: str, row: TorchRow) -> TorchTarget:
    abi = row.has_cxx11_abi(cuda)
    return TorchTarget(requirement, release, cuda, abi, max(17, row.cxx_standard), row.setuptools)


def _note_newer(release: str, tables: Tables, notebook: Notebook) -> None:
    if is_newer(tables.torch, release):
        newest = tables.torch[-1].version
        notebook.note(
            f"torch {release} is newer than the newest known release, {newest}: the rules for {newest} are applied"
        )


def _newest(tables: Tables, facts: Facts) -> TorchRow:
    """The newest torch whose PyPI build runs here; otherwise the newest with wheels for this Python, or of all."""
    python = dotted_python(facts.machine)
    runs = {build.row.version for build in fitting(facts, tables) if build.cuda == build.row.cuda}
    rows = [row for row in reversed(tables.torch) if python in row.python]
    return next((row for row in rows if row.version in runs), rows[0] if rows else tables.torch[-1])


def _newer_python(python: str, row: TorchRow) -> bool:
    return bool(parsed(python) > parsed(row.python[-1]))


def _row_of(wanted: requirements.Requirement, tables: Tables) -> TorchRow:
    fitting = [row for row in tables.torch if _admits(wanted.specifier, row.version)]
    if fitting:
        return fitting[-1]
    for specifier in wanted.specifier:
        return tables.torch_row(specifier.version.replace(".*", ""))
    return tables.torch[-1]


def _pinned(wanted: requirements.Requirement) -> str:
    """The version that a requirement pins, such as ``2.11`` or ``2.11.0+cu128``; empty if it pins none."""
    return next((item.version.removesuffix(".*") for item in wanted.specifier if item.operator == "=="), "")


def _cuda_of(wanted: requirements.Requirement | None) -> str:
    """``12.8`` for ``torch==2.11.0+cu128``: the local version distinguishes builds that are not on PyPI."""
    match = re.search(r"\+cu(\d+)(\d)$", _pinned(wanted)) if wanted is not None else None
    return f"{match[1]}.{match[2]}" if match else ""


def _admits(specifier: specifiers.SpecifierSet, release: str) -> bool:
    return any(specifier.contains(f"{release}.{patch}", prereleases=True) for patch in range(3))


def decide_pins(
    row: ProjectVersion, torch: Torch | None, target: TorchTarget, abi: Abi, tables: Tables, notebook: Notebook
) -> Choice[tuple[str, ...]]:
    """The narrower requirements without which an import fails; notes installed packages that do not match them.

    A stable wheel gets only the requirements of upstream's version, since its later torch is unknown.
    """
    if not target.version or row.is_own:
        return Choice((), "upstream's own requirements")
    known = tables.torch_row(minor(target.version))
    torchs = [f"numpy{known.numpy}"] if known.numpy else []
    torchs += [f"transformers{known.transformers}"] if row.transformers and known.transformers else []
    upstreams = [f"transformers{row.transformers}"] if row.transformers else []
    partner = row.project.partner.name if row.project.partner else ""
    if partner and row.partner_fits:
        # Upstream's own range allows versions whose binding has other parameters: they fail at the first call.
        upstreams.append(f"{partner}{specifiers.SpecifierSet(row.partner_fits)}")
    installed = {package.name: package.version for package in torch.packages} if torch else {}
    for pin in map(requirements.Requirement, _joined([*torchs, *upstreams])):
        found = installed.get(pin.name)
        if found and pin.name != partner and not pin.specifier.contains(found, prereleases=True):
            who = f"torch {minor(target.version)}"
            who += f" and {row.title} need" if pin.name == "transformers" else " needs"
            notebook.note(f"{pin.name} {found} is installed, but {who} {pin}", f"python -m pip install '{pin}'")
    for note, command in _neighbours(installed, target, tables):
        notebook.note(note, command)
    if abi.is_stable:
        return Choice(tuple(_joined(upstreams)), f"known to work with {row.title} under any torch")
    return Choice(
        tuple(_joined([*torchs, *upstreams])),
        f"known to work with torch {minor(target.version)} and {row.title}",
    )


def _joined(texts: list[str]) -> list[str]:
    """Requirements merged to one per name."""
    ranges: dict[str, specifiers.SpecifierSet] = {}
    for item in map(requirements.Requirement, texts):
        ranges[item.name] = ranges.get(item.name, specifiers.SpecifierSet()) & item.specifier
    return [f"{name}{found}" for name, found in ranges.items()]


def _neighbours(installed: dict[str, str], target: TorchTarget, tables: Tables) -> Iterator[tuple[str, str]]:
    for bad in tables.bad_neighbours:
        release = installed.get(bad.package)
        if release and admits(bad.versions, release) and admits(bad.torch, target.version):
            note = (
                f"{bad.package} {release} is installed; torch {target.version} may fail to import with it ({bad.why})"
            )
            yield note, bad.fix
