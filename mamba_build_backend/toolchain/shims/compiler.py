"""Stand in for nvcc and g++ when they compile a file: its architectures, the same bytes in any folder, a compiler cache.

Started as ``python -I -S compiler.py COMPILER ARGUMENT…`` by scripts that bear the compilers' names; it execs the command that
:func:`command` works out. ``protocol.py`` says what it is told, and how it imports that module.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from .nvcc_options import ARCHITECTURES, without
    from .protocol import ProtocolError, ShimConfig, read_shim_config
else:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from nvcc_options import ARCHITECTURES, without
    from protocol import ProtocolError, ShimConfig, read_shim_config

WORK, COPIES = "work", "sources"
"""In ``ShimConfig.fixed_folder``: a link to the build folder, and copies of its sources."""
_SHORT = {"--generate-dependencies-with-compile": "-MD", "-MMD": "-MD", "--dependency-output": "-MF"}
"""For ccache, which knows of a source what is in that list: -MMD leaves the system's headers out, a sysroot's and torch's among them."""
_BEFORE_PATH = r"(-I|-isystem|-iquote|-L|-B|-ccbin=|--compiler-bindir=|)"


def command(compiler: str, arguments: Sequence[str], config: ShimConfig, cwd: str) -> list[str]:
    """The command to run in place of ``compiler`` with these arguments in the folder ``cwd``."""
    if os.path.basename(compiler) == "nvcc":
        # As words of the command they are part of a compiler cache's key.
        arguments = [*config.nvcc_prepend, *arguments, *config.nvcc_append]
    source = _source(arguments)
    if not source:
        return [compiler, *arguments]
    rest = list(arguments)
    if source.endswith(".cu"):
        rest = [*_passes(source, rest, config), *_name_options(os.path.normpath(os.path.join(cwd, source)), config)]
    compiler, *rest = (_relocated(word, config, cwd) for word in (compiler, *rest))
    if config.fixed_folder and source.endswith(".cu"):
        rest = _with_copied_source(rest, config.fixed_folder)
    rest = [_SHORT.get(word, word) for word in rest]
    # ccache has to go by the list of dependencies: what one run of the preprocessor leaves is what one architecture sees of a
    # source, and it took old objects for files that had changed for another (benchmarks/README.md).
    if config.cache_command and "-MF" in rest:
        return [*config.cache_command, compiler, *rest]
    return [compiler, *rest]


def _source(arguments: Sequence[str]) -> str:
    """The source file; empty where nothing is compiled."""
    sources = (word for word in reversed(arguments) if word.endswith((".cu", ".cpp", ".cc", ".cxx", ".c")))
    return next(sources, "") if "-c" in arguments else ""


def _passes(source: str, arguments: list[str], config: ShimConfig) -> list[str]:
    """The arguments with the front-end passes and threads of this file."""
    if config.one_architecture:
        arguments = without(arguments, {"threads"})
    shared = config.shared_passes
    if shared and any(fnmatch.fnmatch(os.path.basename(source), pattern) for pattern in shared.files):
        return [*shared.flags, *without(arguments, ARCHITECTURES)]
    return arguments


def _name_options(path: str, config: ShimConfig) -> list[str]:
    """Options of nvcc for the same binary in every build folder.

    nvcc derives the names of a file's internal functions and variables from its path. cudafe++ takes the last such path that it is
    told. For a file that defines nothing for others, such as most of the kernels, nvcc also adds a number of the process;
    "-frandom-seed" replaces that number, and not the path (seen with 11.8, 13.0). An nvcc that lacks one of the two options compiles
    without it, and its binaries differ from folder to folder.
    """
    for folder in config.build_folders:
        if path.startswith(f"{folder}/"):
            inside = path[len(folder) :]
            name = ["-Xcudafe", f"--orig_src_path_name={inside}"] if config.source_path_option else []
            seed = [f"-frandom-seed={inside}"] if config.seed_option else []
            return [*name, *seed]
    return []


def _relocated(word: str, config: ShimConfig, cwd: str) -> str:
    """A path in the build folder by a name that is the same for every build folder.

    The name is relative to the folder in which the compiler runs, unless there is a fixed folder: sccache runs nvcc's steps in other
    folders.
    """
    for folder in config.build_folders:
        if match := re.match(_BEFORE_PATH + re.escape(folder) + r"(?=/|$)", word):
            inside = word[match.end() :]
            if config.fixed_folder:
                return f"{match[1]}{config.fixed_folder}/{WORK}{inside}"
            # cwd is always a resolved path.
            return match[1] + os.path.relpath(os.path.realpath(folder) + inside, cwd)
    return word


def _with_copied_source(arguments: list[str], fixed_folder: str) -> list[str]:
    """Compile a copy of the source in ``fixed_folder``.

    nvcc tells its steps the real path of a file, whatever link leads there, and sccache takes that for a part of the step.
    """
    out = list(arguments)
    for index, word in enumerate(arguments):
        if word.endswith(".cu") and word.startswith(f"{fixed_folder}/{WORK}/"):
            inside = word[len(fixed_folder) + len(WORK) + 1 :]
            out[index] = f"{fixed_folder}/{COPIES}{inside}"
            beside = f"-I{fixed_folder}/{WORK}{os.path.dirname(inside)}"
            return [beside, *out, "-Xcompiler", f"-ffile-prefix-map={fixed_folder}/{COPIES}=."]
    return out


def _copy_sources(words: list[str], fixed_folder: str) -> None:
    for word in words:
        if word.startswith(f"{fixed_folder}/{COPIES}/") and word.endswith(".cu"):
            os.makedirs(os.path.dirname(word), exist_ok=True)
            shutil.copyfile(f"{fixed_folder}/{WORK}{word[len(fixed_folder) + len(COPIES) + 1 :]}", word)


def main() -> None:
    """Read the step's file; become the command."""
    try:
        config = read_shim_config(os.environ)
    except ProtocolError as error:
        sys.exit(f"mamba-build-backend: {error}")
    words = command(sys.argv[1], sys.argv[2:], config, os.getcwd())
    if config.fixed_folder:
        _copy_sources(words, config.fixed_folder)
    os.execvp(words[0], words)  # noqa: S606 - it takes this process's place


if __name__ == "__main__":
    main()
