"""Shim for nvcc and g++ when they compile a file: sets architectures, makes builds reproducible, uses a compiler cache.

Started as ``python -I -S compiler.py COMPILER ARGUMENT…`` by scripts with the compilers' names. It then ``exec``s the
rewritten command of :func:`command`. ``protocol.py`` describes its input, and how the shim imports that module.
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
"""Options for ccache, which trusts the list of dependencies: -MMD omits system headers, including the sysroot's and torch's."""
_BEFORE_PATH = r"(-I|-isystem|-iquote|-L|-B|-ccbin=|--compiler-bindir=|)"


def command(compiler: str, arguments: Sequence[str], config: ShimConfig, cwd: str) -> list[str]:
    """Return the command to run in place of ``compiler`` with these arguments in the folder ``cwd``."""
    if os.path.basename(compiler) == "nvcc":
        # Add the variables' words to the command, so that a compiler cache's key contains them.
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
    # ccache must use the list of dependencies: one preprocessor run shows a source for only one architecture, and
    # ccache then returned old objects for files that had changed for another architecture (benchmarks/README.md).
    if config.cache_command and "-MF" in rest:
        return [*config.cache_command, compiler, *rest]
    return [compiler, *rest]


def _source(arguments: Sequence[str]) -> str:
    """Return the source file; empty if the command compiles nothing."""
    sources = (word for word in reversed(arguments) if word.endswith((".cu", ".cpp", ".cc", ".cxx", ".c")))
    return next(sources, "") if "-c" in arguments else ""


def _passes(source: str, arguments: list[str], config: ShimConfig) -> list[str]:
    """Return the arguments with this file's front-end passes and threads."""
    if config.one_architecture:
        arguments = without(arguments, {"threads"})
    shared = config.shared_passes
    if shared and any(fnmatch.fnmatch(os.path.basename(source), pattern) for pattern in shared.files):
        return [*shared.flags, *without(arguments, ARCHITECTURES)]
    return arguments


def _name_options(path: str, config: ShimConfig) -> list[str]:
    """Return nvcc's options for the same binary in every build folder.

    nvcc derives the names of a file's internal functions and variables from the file's path. cudafe++ uses the last
    path that it gets. For a file without external definitions, such as most of the kernels, nvcc also adds a process
    number; "-frandom-seed" replaces that number, but not the path (seen with 11.8, 13.0). If nvcc lacks one of the two
    options, it compiles without that option, and its binaries differ between build folders.
    """
    for folder in config.build_folders:
        if path.startswith(f"{folder}/"):
            inside = path[len(folder) :]
            name = ["-Xcudafe", f"--orig_src_path_name={inside}"] if config.source_path_option else []
            seed = [f"-frandom-seed={inside}"] if config.seed_option else []
            return [*name, *seed]
    return []


def _relocated(word: str, config: ShimConfig, cwd: str) -> str:
    """Rewrite a path in the build folder to a name that is the same for every build folder.

    The name is relative to the compiler's working folder, unless there is a fixed folder: sccache runs nvcc's steps in
    other folders.
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

    nvcc resolves links and passes the real path of a file to its steps, and sccache hashes that path.
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
    """Read the step's file and exec the command."""
    try:
        config = read_shim_config(os.environ)
    except ProtocolError as error:
        sys.exit(f"mamba-build-backend: {error}")
    words = command(sys.argv[1], sys.argv[2:], config, os.getcwd())
    if config.fixed_folder:
        _copy_sources(words, config.fixed_folder)
    os.execvp(words[0], words)  # noqa: S606 - replaces this process


if __name__ == "__main__":
    main()
