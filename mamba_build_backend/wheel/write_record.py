"""Make the build record of a wheel; only this module reads a plan for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._version import __version__
from ..compile import stable_abi
from ..core.facts import Compiler, SysrootProvider, Torch
from ..core.outside_text import without_secrets
from ..plan import BuildPlan
from ..plan.types import ReadyPlan
from ..probe.recording import private_words, without_names
from ..symbols.floors import EffectiveFloor
from ..tables import Floor, FrontEnd
from ..toolchain.zig import nvcc_flags as zig_flags
from .build_record import (
    NO_FLOOR,
    BuildRecord,
    CompilerRecord,
    FlagsRecord,
    FloorRecord,
    GpuCodeRecord,
    PassRecord,
    PatchRecord,
    SourceRecord,
    SysrootRecord,
    ToolkitRecord,
    TorchRecord,
    VariableRecord,
)

COMPILER_VARIABLES = (
    *("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "NVCC_CCBIN", "CUDAFE_FLAGS", "PTXAS_FLAGS", "INCLUDES", "LIBRARIES"),
    *("CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LDSHARED", "LDCXXSHARED", "CPP", "AR", "ARFLAGS", "RANLIB"),
    *(
        "CPATH",
        "C_INCLUDE_PATH",
        "CPLUS_INCLUDE_PATH",
        "LIBRARY_PATH",
        "LD_RUN_PATH",
        "GCC_EXEC_PREFIX",
        "COMPILER_PATH",
    ),
    *("GNUTARGET", "LDEMULATION", "CUDNN_HOME", "CUDNN_PATH"),
)
"""Variables that change a compile or a link: read by nvcc 13.0 (seen in its --dryrun), setuptools' ``customize_compiler``, GCC
("Environment Variables Affecting GCC"), GNU ld and torch's ``cpp_extension``. Without those that the build sets, such as CXX."""

_PATH = re.compile(r"""(^|[\s"'=,:;(]|-(?:I|L|B|R|isystem|iquote|idirafter|include|imacros))/(?!/)[^\s"',:;)]*""")


def record_of(
    ready: ReadyPlan,
    origins: Sequence[Mapping[str, Any]],
    python: str,
    floor: Floor = NO_FLOOR,
    effective: EffectiveFloor | None = None,
    variables: Iterable[VariableRecord] = (),
) -> BuildRecord:
    """Return the record of a build.

    ``origins`` has the origin of each part's source (:func:`~mamba_build_backend.source.prepare.origins`); ``floor`` is
    the measured floor, ``effective`` the floor together with torch's needs (None if nothing was measured);
    ``variables`` are those that reached a compiler (:func:`compiler_variables`).
    """
    plan, torch = ready.plan, ready.torch
    upstream, *companions = (_source(part, origin) for part, origin in zip(plan.parts, origins))
    flags = stable_abi.flags(plan)
    return BuildRecord(
        backend=__version__,
        python=python,
        abi=str(plan.abi.value.name),
        repaired=plan.repair,
        portable=plan.portable,
        stripped=plan.strip,
        upstream=upstream,
        companions=tuple(companions),
        torch=_torch(plan, torch),
        toolkit=ToolkitRecord(ready.toolkit.version, str(ready.toolkit.layout), str(ready.toolkit.origin)),
        compiler=_compiler(ready.compiler),
        sysroot=_sysroot(ready),
        gpu_code=_gpu_code(plan),
        flags=FlagsRecord(
            (*plan.nvcc_flags, *flags, *zig_flags(plan)), (f"-std=c++{plan.target.cxx_standard}", *flags)
        ),
        variables=tuple(variables),
        cleaned=tuple(name for name, _ in plan.environment),
        floor=FloorRecord(plan.floor, floor, effective),
        pins=plan.pins.value,
        partner=plan.partner.value,
    )


def _torch(plan: BuildPlan, found: Torch | None) -> TorchRecord:
    """Return the record of the build's torch; without a torch, only the requirement."""
    asked = TorchRecord("", "", None, plan.target.cxx_standard, plan.torch_requirement, "")
    if found is None:
        return asked
    return replace(
        asked,
        version=found.version,
        cuda=found.cuda or "",
        cxx11_abi=found.cxx11_abi,
        origin=str(found.origin),
        glibc=found.glibc,
        glibcxx=found.glibcxx,
        cxxabi=found.cxxabi,
    )


def _compiler(found: Compiler) -> CompilerRecord:
    return CompilerRecord(str(found.kind), found.version, found.target, str(found.origin))


def _sysroot(ready: ReadyPlan) -> SysrootRecord:
    if ready.sysroot.provider is SysrootProvider.ZIG:
        # zig's sysroot supports any glibc, and is made for the promised one. Do not record whether it was cached: that
        # would make builds irreproducible.
        return SysrootRecord("zig", ready.plan.floor.glibc, "index")
    return SysrootRecord(str(ready.sysroot.provider), ready.sysroot.glibc, str(ready.sysroot.origin))


def _source(plan: BuildPlan, origin: Mapping[str, Any]) -> SourceRecord:
    hashes: Mapping[str, str] = origin["patches_sha256"]
    kinds = {item.file: str(item.kind) for item in plan.patches.value}
    fork = plan.upstream.value.fork
    return SourceRecord(
        name=plan.upstream.value.name,
        version=plan.upstream.value.version,
        origin=plan.source.value.kind,
        sha256=str(origin["sha256"]),
        verified=bool(origin["verified"]),
        patches=tuple(PatchRecord(file, digest, kinds[file]) for file, digest in hashes.items()),
        packages=plan.upstream.value.project.packages,
        extensions=plan.upstream.value.project.extensions,
        like=fork.like if fork else "",
        changed=(*fork.changed, *fork.new) if fork else (),
    )


def _gpu_code(plan: BuildPlan) -> GpuCodeRecord:
    code = plan.gpu_code.value
    return GpuCodeRecord(
        written_by="compact" if code.compact else "nvcc",
        passes=_passes(code.passes),
        shared_files=code.shared.files,
        shared_passes=_passes(code.shared.passes),
        derived=code.shared.derived,
        regrouped=tuple(item.name for item in plan.regrouped),
    )


def _passes(items: Iterable[FrontEnd]) -> tuple[PassRecord, ...]:
    return tuple(PassRecord(item.compute, item.codes) for item in items)


def compiler_variables(environment: Mapping[str, str]) -> tuple[VariableRecord, ...]:
    """Return the compilers' environment variables that change their output, without paths and secrets."""
    values = {name: environment[name] for name in COMPILER_VARIABLES if environment.get(name)}
    clean = without_names(values, private_words(environment))
    return tuple(VariableRecord(name, shown(value)) for name, value in clean.items())


def shown(value: str) -> str:
    """Mask the paths and secrets in a variable's value.

    >>> shown("-DKEY_TOKEN=abc -I/home/u/include -O3")
    '-DKEY_TOKEN=*** -I{path} -O3'
    """
    value = without_secrets(value)
    return _PATH.sub(r"\1{path}", value)
