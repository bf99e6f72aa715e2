"""Turn upstream's raw wheel into the final wheel: content, record, platform tag."""

from __future__ import annotations

import ast
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._version import __version__
from ..compile.run_setup_py import failed
from ..core.facts import CompilerKind, Machine
from ..core.files import emptied
from ..core.paths import is_file, matching, read_bytes, read_text, search_path
from ..core.process import stream
from ..core.projects import PROJECTS
from ..core.work import BuildContext
from ..plan import BuildPlan
from ..plan.types import ReadyPlan
from ..tables import load_tables, minor
from . import sbom, variants
from .build_record import RECORD_NAME, BuildRecord
from .metadata import dist_info_name, write_dist_info_files

PAYLOAD = Path(__file__).parent.with_name("payload")

EXCLUDED = (
    "libtorch*",
    "libc10*",
    "libcudart.so.*",
    "libcuda.so.*",
    "libcublas*.so.*",
    "libcusparse*.so.*",
    "libcurand.so.*",
    "libnv*.so.*",
    "libgomp*.so.*",
)
"""Libraries that the wheel must not contain: torch's, CUDA's and the driver's come from the running process."""


@dataclass(frozen=True)
class Content:
    """Content of the wheel besides upstream's files."""

    metadata: str
    licenses: Mapping[str, Path]
    """By their names in the wheel."""
    record: BuildRecord
    sbom: dict[str, Any]
    variant: str = ""
    """The text of ``variant.json``; empty for a plain wheel."""
    build_tag: str = ""
    """The build number; empty for none."""


def unpack_raw(raw: Sequence[Path], stage: Path) -> list[Path]:
    """Unpack upstream's wheels into ``stage``; return their shared libraries."""
    emptied(stage)
    for wheel in raw:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(stage)
    return sorted(stage.rglob("*.so"))


def stage_wheel(ready: ReadyPlan, stage: Path, content: Content) -> None:
    """Replace upstream's .dist-info with ours, and add the guard and the package that checks an installation."""
    olds = matching(stage, "*.dist-info")
    tags = _tags(olds[0])
    if (abi := ready.plan.abi.value).is_stable:
        runtime = ready.plan.runtime
        # Upstream's setup.py always names this machine, even if the wheel is for another one.
        platform = f"linux_{runtime.machine}" if runtime else tags[0].rpartition("-")[2]
        tags = [f"{abi.python_tag}-{platform}"]
    entry_points = next((read_bytes(path) for path in matching(stage, "*.dist-info/entry_points.txt")), None)
    for old in olds:
        shutil.rmtree(old)
    info = write_dist_info(stage, content, tags)
    if entry_points is not None:
        (info / "entry_points.txt").write_bytes(entry_points)
    add_payload(ready, [stage], content.metadata)


def write_dist_info(parent: Path, content: Content, tags: list[str]) -> Path:
    """Write METADATA, WHEEL, licences, build record, SBOM, and the definition of a variant label."""
    info = write_dist_info_files(parent, content.metadata, content.licenses)
    wheel = ["Wheel-Version: 1.0", f"Generator: mamba-build-backend {__version__}", "Root-Is-Purelib: false"]
    wheel += [f"Build: {content.build_tag}"] if content.build_tag else []
    wheel += [*(f"Tag: {tag}" for tag in tags), ""]
    (info / "WHEEL").write_bytes("\n".join(wheel).encode("utf-8"))
    record = json.dumps(content.record.to_json(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (info / RECORD_NAME).write_bytes(record.encode("utf-8"))
    (info / "sboms").mkdir()
    (info / "sboms" / sbom.FILE_NAME).write_bytes(sbom.text(content.sbom).encode("utf-8"))
    if content.variant:
        (info / variants.FILE_NAME).write_bytes(content.variant.encode("utf-8"))
    return info


def editable_wheel(trees: Sequence[Path], content: Content, machine: Machine, context: BuildContext) -> Path:
    """Make a wheel with only the metadata and a .pth file that points to the trees."""
    stage = emptied(context.folder / "stage")
    info = write_dist_info(
        stage, content, [f"{machine.python_tag.rstrip('t')}-{machine.python_tag}-linux_{machine.arch}"]
    )
    name = info.name.partition("-")[0]
    (stage / f"__editable__.{name}.pth").write_text("".join(f"{tree}\n" for tree in trees), encoding="utf-8")
    return pack(stage, context)


def add_payload(ready: ReadyPlan, trees: Sequence[Path], metadata: str) -> None:
    """Add the package that checks an installation, ``PACKAGE_portable``, and make upstream's packages import its guard.

    ``trees`` is the folder of the wheel, or the folders of an editable build's parts. A project's own wheel gets
    neither.
    """
    plan, torch, stable = ready.plan, ready.torch, ready.plan.abi.value.is_stable
    row = plan.upstream.value
    if not row.project.packages:
        return
    name = f"{row.project.packages[0]}_portable"
    target = trees[0] / name
    shutil.copytree(PAYLOAD / "portable", target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    rows = [part.upstream.value for part in plan.parts]
    checks = {f"_check_{item.project.packages[0]}": PROJECTS / item.name / "check.py" for item in rows}
    checks = {module: path for module, path in checks.items() if is_file(path)}
    for module, path in checks.items():
        shutil.copyfile(path, target / f"{module}.py")
    distribution, _, version = dist_info_name(metadata)[: -len(".dist-info")].partition("-")
    packages = tuple(package for item in rows for package in item.project.packages)
    built_for = {
        "DISTRIBUTION": distribution.replace("_", "-"),
        "VERSION": version,
        "UPSTREAM": plan.title,
        "PACKAGES": packages,
        "CHECKS": tuple(checks),
        "ABI": plan.abi.value.name,
        "TORCH": plan.torch_least if torch is None or stable else minor(torch.version),
        "CUDA": plan.cuda if torch is None or stable else torch.cuda,
        "DRIVER": plan.driver,
        "CXX11_ABI": None if torch is None or stable else torch.cxx11_abi,
        "TRANSFORMERS": _transformers(plan),
        "EXTENSIONS": tuple(extension for item in rows for extension in item.project.extensions),
        "RECORD": RECORD_NAME,
    }
    text = '"""What this wheel was built for; written by the build."""\n\n' + "".join(
        f"{key} = {value!r}\n" for key, value in built_for.items()
    )
    (target / "_built_for.py").write_text(text, encoding="utf-8")
    for tree in trees:
        for package in packages:
            init = tree / package / "__init__.py"
            if is_file(init):
                init.write_text(insert_guard(read_text(init), name), encoding="utf-8")


def _transformers(plan: BuildPlan) -> tuple[tuple[str, str], ...]:
    """Return the transformers for each torch, for a wheel that serves many: metadata cannot depend on torch's version."""
    if not plan.abi.value.is_stable or not any(part.upstream.value.transformers for part in plan.parts):
        return ()
    return tuple((row.version, row.transformers) for row in load_tables().torch if row.transformers)


def insert_guard(source: str, portable: str) -> str:
    r"""Insert the guard before a module's first import, after its docstring and ``from __future__`` lines.

    >>> insert_guard('__version__ = "1"\nimport x\n', "name_portable").splitlines()[1][:34]
    'import name_portable._guard  # noqa'
    """
    guard = (
        f"import {portable}._guard  # noqa: F401 - says which torch this was built for, before the binary is loaded\n"
    )
    if guard in source:
        return source
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not future:
            return "".join([*lines[: node.lineno - 1], guard, *lines[node.lineno - 1 :]])
    # A package without imports loads no binary.
    return source


def pack(stage: Path, context: BuildContext) -> Path:
    """Pack the staged folder with the `wheel` project's own packer (RECORD, order, SOURCE_DATE_EPOCH)."""
    out = emptied(context.folder / "packed")
    _give_usual_modes(stage)
    return _one_wheel(
        [sys.executable, "-m", "wheel", "pack", str(stage), "--dest-dir", str(out)], out, context, "packing"
    )


def repair_wheel(plan: BuildPlan, stage: Path, context: BuildContext) -> Path:
    """Pack the staged folder with auditwheel: adds the platform tag of its binaries, strips them, removes RPATHs."""
    out = emptied(context.folder / "repaired")
    wheel = _as_given(stage, emptied(context.folder / "packed"))
    command = [sys.executable, "-m", "auditwheel", "repair", "--only-plat", "--wheel-dir", str(out)]
    command += [part for pattern in EXCLUDED for part in ("--exclude", pattern)]
    compiler = plan.compiler.value
    stripped = (
        compiler is not None and compiler.kind is CompilerKind.ZIG
    )  # zig's link strips already; no other program is needed
    command += ["--strip"] if plan.strip and not stripped else []
    return _one_wheel([*command, str(wheel)], out, context, "auditwheel")


def _as_given(stage: Path, out: Path) -> Path:
    """Pack the staged folder without compression for auditwheel, which unpacks it at once."""
    from wheel.wheelfile import WheelFile

    (info,) = matching(stage, "*.dist-info")
    tag = "-".join(".".join(sorted(set(part))) for part in zip(*(tag.split("-") for tag in _tags(info))))
    build = "".join(f"{number}-" for number in _stated(info, "Build"))
    wheel = out / f"{info.stem}-{build}{tag}.whl"
    _give_usual_modes(stage)
    with WheelFile(wheel, "w", compression=zipfile.ZIP_STORED) as archive:
        archive.write_files(stage)
    return wheel


def _give_usual_modes(stage: Path) -> None:
    """Normalise file modes: the wheel contains them, and must not depend on the builder's umask."""
    for folder, _, files in os.walk(stage):
        os.chmod(folder, 0o755)  # noqa: S103 - the usual mode in a wheel
        for name in files:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)


def _tags(info: Path) -> list[str]:
    return _stated(info, "Tag")


def _stated(info: Path, field: str) -> list[str]:
    """Return the values of a field in WHEEL."""
    lines = read_text(info / "WHEEL").splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:")]


def _one_wheel(command: list[str], out: Path, context: BuildContext, what: str) -> Path:
    env: Mapping[str, str] = {
        **context.environ,
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), search_path(context.environ)]),
    }
    status = stream(
        command,
        env=env,
        cwd=context.folder,
        log=context.log,
        echo=context.echo if context.verbose else lambda _line: None,
    )
    wheels = matching(out, "*.whl")
    if status != 0 or len(wheels) != 1:
        raise failed(f"{what} ended with exit code {status} and made {len(wheels)} wheels instead of one", context.log)
    return wheels[0]
