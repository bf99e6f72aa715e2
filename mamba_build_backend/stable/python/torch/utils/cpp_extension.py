"""torch's names for building an extension: ninja runs nvcc and g++, and setuptools links.

ninja recompiles a file only if its command or its includes changed, so that an editable build is short.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any, Optional

from setuptools import Extension
from setuptools.command.build_ext import build_ext

CUDA_HOME: Optional[str] = os.environ.get("CUDA_HOME")
HIP_HOME: Optional[str] = None
ROCM_HOME: Optional[str] = None

# torch's own options, except that upstream undefines some: a kernel must mean the same as in a build with torch.
_NVCC_FLAGS = [
    "-D__CUDA_NO_HALF_OPERATORS__",
    "-D__CUDA_NO_HALF_CONVERSIONS__",
    "-D__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "-D__CUDA_NO_HALF2_OPERATORS__",
    "--expt-relaxed-constexpr",
    "--compiler-options",
    "-fPIC",
]
_RULES = """\
ninja_required_version = 1.3
rule cxx
  command = {cxx} -MD -MF $out.d {flags} -c $in -o $out {cxx_flags}
  depfile = $out.d
  deps = gcc
rule cuda
  command = {nvcc} -MD -MF $out.d {nvcc_flags} -c $in -o $out {cuda_flags}
  depfile = $out.d
  deps = gcc
"""


def include_paths(device_type: str = "cpu", *_: Any, **__: Any) -> list[str]:
    """Return CUDA's include folder. The headers with torch's names come with the extension."""
    return [os.path.join(CUDA_HOME, "include")] if CUDA_HOME and device_type != "cpu" else []


def library_paths(*_: Any, **__: Any) -> list[str]:
    """Return CUDA's library folder."""
    return [os.path.join(CUDA_HOME, "lib64")] if CUDA_HOME else []


def CUDAExtension(name: str, sources: Sequence[Any], *args: Any, **kwargs: Any) -> Extension:  # noqa: N802 - torch's name
    """Return an extension of C++ and CUDA files."""
    kwargs["include_dirs"] = [*(str(path) for path in kwargs.get("include_dirs") or ()), *include_paths("cuda")]
    kwargs["library_dirs"] = [*(str(path) for path in kwargs.get("library_dirs") or ()), *library_paths()]
    kwargs["language"] = "c++"
    return Extension(name, [str(source) for source in sources], *args, **kwargs)


def CppExtension(name: str, *_: Any, **__: Any) -> Extension:  # noqa: N802 - torch's name
    """Raise RuntimeError: ``abi=stable`` replaces only the headers of CUDA extensions."""
    raise RuntimeError(f"abi=stable can build only CUDAExtension, and {name} is a CppExtension: use -C abi=torch")


class BuildExtension(build_ext):
    """setuptools' command, which compiles with ninja."""

    @classmethod
    def with_options(cls, **_: Any) -> type[BuildExtension]:
        """Return the command; torch's options have no effect here."""
        return cls

    def build_extension(self, ext: Any) -> None:
        """Compile and link one extension."""
        name = ext.name.rpartition(".")[2]
        options = ext.extra_compile_args
        options = options if isinstance(options, dict) else {"cxx": options or [], "nvcc": options or []}
        compiler: Any = self.compiler

        def compile_files(sources: Sequence[str], output_dir: str = "", **given: Any) -> list[str]:
            # The options that setuptools' own compiler would derive, with absolute paths: ninja runs in its own folder.
            folders = [os.path.abspath(path) for path in (*(given.get("include_dirs") or ()), *compiler.include_dirs)]
            macros = [
                *(given.get("macros") or ()),
                ("TORCH_EXTENSION_NAME", name),
                ("TORCH_API_INCLUDE_EXTENSION_H", None),
            ]
            debug = ["-g"] if given.get("debug") else []
            flags = [*_defines(macros), *(f"-I{path}" for path in dict.fromkeys(folders)), *debug]
            output = os.path.abspath(output_dir)
            files = {_object(source, output): os.path.abspath(source) for source in sources}
            _compile(files, output, compiler.compiler_so[1:], flags, options)
            return list(files)

        self.force = True  # ninja checks what is up to date, including headers; setuptools checks only the sources
        original, compiler.compile = compiler.compile, compile_files
        try:
            super().build_extension(ext)
        finally:
            compiler.compile = original


def _defines(macros: Iterable[Sequence[Any]]) -> list[str]:
    """Return options for setuptools' macros: ``(name, value)``, ``(name, None)``, and ``(name,)`` to undefine one."""
    options = []
    for name, *value in macros:
        options.append(f"-U{name}" if not value else f"-D{name}" if value[0] is None else f"-D{name}={value[0]}")
    return options


def _object(source: str, output: str) -> str:
    """Return the path of a file's object; ``scan.cpp`` and ``scan.cu`` in one folder get different objects."""
    stem, suffix = os.path.splitext(os.path.relpath(source))
    stem = stem.replace(os.pardir, "up")
    return os.path.join(output, f"{stem}.cuda.o" if suffix == ".cu" else f"{stem}.o")


def _compile(
    files: dict[str, str], output: str, python_flags: Sequence[str], flags: Sequence[str], options: dict[str, Any]
) -> None:
    """Compile the objects with ninja. Raises SystemExit with ninja's exit status."""
    os.makedirs(output, exist_ok=True)
    nvcc = os.environ.get("PYTORCH_NVCC") or os.path.join(CUDA_HOME or "", "bin", "nvcc")
    lines = [
        _RULES.format(
            cxx=_joined(shlex.split(os.environ.get("CXX", "c++"))),
            nvcc=_joined([nvcc]),
            flags=_joined([*python_flags, *flags]),
            cxx_flags=_joined(options.get("cxx", ())),
            nvcc_flags=_joined(flags),
            cuda_flags=_joined([*_NVCC_FLAGS, *options.get("nvcc", ())]),
        )
    ]
    for made, source in files.items():
        rule = "cuda" if source.endswith(".cu") else "cxx"
        lines.append(f"build {_path(made)}: {rule} {_path(source)}\n")
    with open(os.path.join(output, "build.ninja"), "w", encoding="utf-8") as file:
        file.writelines(lines)
    jobs = os.environ.get("MAX_JOBS")
    command = ["ninja", "-v", *(["-j", jobs] if jobs else []), *files]
    status = subprocess.run(command, cwd=output, check=False).returncode
    if status != 0:
        raise SystemExit(status)


def _joined(words: Iterable[Any]) -> str:
    """Quote words for the shell in a ninja file."""
    return " ".join(shlex.quote(str(word)) for word in words).replace("$", "$$")


def _path(path: str) -> str:
    """Escape a path for a ninja file."""
    return path.replace("$", "$$").replace(" ", "$ ").replace(":", "$:")
