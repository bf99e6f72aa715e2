"""Stands in front of nvcc and g++ when they compile a file: its architectures, the same bytes in any folder, a compiler cache.

Started as ``python compiler.py COMPILER ARGUMENT…`` by scripts that bear the compilers' names, with the path of its orders, as
JSON, in ``ORDERS``; standard library only. It becomes the command that it works out.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import sys
from typing import Any

ORDERS = "_MAMBA_BACKEND_ORDERS"
PYTHON = "_MAMBA_BACKEND_PYTHON"
COMPILE = "_MAMBA_BACKEND_COMPILE"
"""Variables that say where these orders, the Python, and this file are."""
WORK, COPIES = "work", "sources"
"""In a folder that stands for a build folder: a link to it, and copies of its sources."""
_GENCODE = ("-gencode", "--generate-code")
_SHORT = {"--generate-dependencies-with-compile": "-MD", "-MMD": "-MD", "--dependency-output": "-MF"}
"""For ccache, which knows of a source what is in that list: -MMD leaves the system's headers out, a sysroot's and torch's among them."""
_BEFORE_PATH = r"(-I|-isystem|-iquote|-L|-B|-ccbin=|--compiler-bindir=|)"


def command(compiler: str, arguments: list[str], orders: dict[str, Any], cwd: str) -> list[str]:
    """What is run in place of ``compiler`` with these arguments.

    ``orders``: ``works``, the names of the build folder; ``seed``, whether nvcc knows -frandom-seed; ``one_pass``,
    ``{"files": patterns, "flags": options}`` of files that need fewer of nvcc's front ends; ``cache``, a program that
    remembers objects, or none; ``alone``, whether memory is for one architecture at a time; ``name``, a folder that has the same
    name whichever build folder it stands for, or none.
    """
    source = _source(arguments)
    if not source:
        return [compiler, *arguments]
    rest = arguments
    if source.endswith(".cu"):
        if orders["alone"] and "--threads" in rest:
            place = rest.index("--threads")
            rest = [*rest[:place], *rest[place + 2 :]]
        if _is_of(source, orders["one_pass"]["files"]):
            rest = [*orders["one_pass"]["flags"], *_without_gencode(rest)]
        rest = [*rest, *_names(os.path.normpath(os.path.join(cwd, source)), orders)]
    compiler, *rest = (_seen(word, orders, cwd) for word in (compiler, *rest))
    if orders["name"] and source.endswith(".cu"):
        rest = _copied(rest, orders["name"])
    noted = [_SHORT.get(word, word) for word in rest]
    # ccache has to go by the list of dependencies: what one run of the preprocessor leaves is what one architecture sees of a
    # source, and it took old objects for files that had changed for another (benchmarks/README.md).
    if orders["cache"] and "-MF" in noted:
        return [*orders["cache"], compiler, *noted]
    return [compiler, *rest]


def _source(arguments: list[str]) -> str:
    """What is compiled; empty where nothing is."""
    found = (word for word in reversed(arguments) if word.endswith((".cu", ".cpp", ".cc", ".cxx", ".c")))
    return next(found, "") if "-c" in arguments else ""


def _is_of(source: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(os.path.basename(source), pattern) for pattern in patterns)


def _without_gencode(arguments: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in arguments:
        if skip or word.startswith(tuple(f"{name}=" for name in _GENCODE)):
            skip = False
        elif word in _GENCODE:
            skip = True
        else:
            kept.append(word)
    return kept


def _names(path: str, orders: dict[str, Any]) -> list[str]:
    """Options of nvcc for the same binary in every build folder.

    nvcc makes the names of a file's internal functions and variables from its path. What its first stage is told last of that
    path is what it takes. In a file that defines nothing for others, such as most of the kernels, a number of the process comes
    in, too; "-frandom-seed" takes that out, and not the path (seen with 11.8, 13.0).
    """
    for work in orders["works"]:
        if path.startswith(f"{work}/"):
            inside = path[len(work) :]
            seed = [f"-frandom-seed={inside}"] if orders["seed"] else []
            return ["-Xcudafe", f"--orig_src_path_name={inside}", *seed]
    return []


def _seen(word: str, orders: dict[str, Any], cwd: str) -> str:
    """A path in the build folder by a name that is the same for every build folder.

    As it is seen from the folder in which the compiler runs, unless there is a name: sccache takes nvcc to other folders.
    """
    for work in orders["works"]:
        if match := re.match(_BEFORE_PATH + re.escape(work) + r"(?=/|$)", word):
            inside = word[match.end() :]
            if orders["name"]:
                return f"{match[1]}{orders['name']}/{WORK}{inside}"
            # Where we are has one name: the system's.
            return match[1] + os.path.relpath(os.path.realpath(work) + inside, cwd)
    return word


def _copied(arguments: list[str], name: str) -> list[str]:
    """The source in a folder of its own: nvcc tells its steps where a file really lies, which sccache takes for what they do."""
    out = list(arguments)
    for index, word in enumerate(arguments):
        if word.endswith(".cu") and word.startswith(f"{name}/{WORK}/"):
            inside = word[len(name) + len(WORK) + 1 :]
            out[index] = f"{name}/{COPIES}{inside}"
            beside = f"-I{name}/{WORK}{os.path.dirname(inside)}"
            return [beside, *out, "-Xcompiler", f"-ffile-prefix-map={name}/{COPIES}=."]
    return out


def _copy(words: list[str], name: str) -> None:
    for word in words:
        if word.startswith(f"{name}/{COPIES}/") and word.endswith(".cu"):
            os.makedirs(os.path.dirname(word), exist_ok=True)
            shutil.copyfile(f"{name}/{WORK}{word[len(name) + len(COPIES) + 1 :]}", word)


def _taken(variable: str) -> list[str]:
    return shlex.split(os.environ.pop(variable, ""))


def main() -> None:
    """Read the orders; become that command."""
    with open(os.environ[ORDERS], encoding="utf-8") as file:
        orders: dict[str, Any] = json.load(file)
    arguments = sys.argv[2:]
    if os.path.basename(sys.argv[1]) == "nvcc":
        # As words, they are in a cache's key.
        arguments = [*_taken("NVCC_PREPEND_FLAGS"), *arguments, *_taken("NVCC_APPEND_FLAGS")]
    words = command(sys.argv[1], arguments, orders, os.getcwd())
    if orders["name"]:
        _copy(words, orders["name"])
    os.execvp(words[0], words)  # noqa: S606 - it takes this process's place


if __name__ == "__main__":
    main()
