"""Runs upstream's setup.py in a process of its own, with the plan's flags in place of upstream's.

Started as ``python _setup_py_child.py SPEC.json``; standard library only, since the build environment's packages belong to upstream
here. Rewriting what setup.py hands to ``CUDAExtension`` works for every version and every project, where patching the text
of setup.py would have to be done for each.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
import urllib.error
import urllib.request
from email.message import Message
from typing import Any

_VALUED = (
    "-gencode",
    "--generate-code",
    "-arch",
    "--gpu-architecture",
    "-code",
    "--gpu-code",
    "--threads",
    "--split-compile",
    "-split-compile",
    "-t",
    "-std",
    "--std",
    "-ccbin",
    "--compiler-bindir",
    "--compress-mode",
    "-compress-mode",
)
_PLAIN = ("-lineinfo", "--generate-line-info", "--ptxas-options=-v", "-compress-all")


def rewrite_nvcc(given: list[str], planned: list[str]) -> list[str]:
    """Take upstream's choices of architectures, standard, threads and compression out of ``given``, and add the plan's.

    >>> rewrite_nvcc(["-O3", "-gencode", "arch=compute_53,code=sm_53", "-std=c++17"], ["-std=c++20"])
    ['-O3', '-std=c++20']
    """
    kept: list[str] = []
    skip = False
    for index, flag in enumerate(given):
        if skip:
            skip = False
            continue
        if flag in _VALUED:
            skip = index + 1 < len(given)
            continue
        if flag in _PLAIN or any(flag.startswith(f"{name}=") for name in _VALUED):
            continue
        if flag in ("-Xfatbin", "--fatbin-options") and index + 1 < len(given) and "compress" in given[index + 1]:
            skip = True
            continue
        kept.append(flag)
    return [*kept, *planned]


def rewrite_cxx(given: list[str], planned: list[str]) -> list[str]:
    """The same for the host compiler: only the language standard is the plan's to choose."""
    return [*(flag for flag in given if not re.match(r"-?-std=", flag)), *planned]


def rewrite_arguments(given: Any, nvcc: list[str], cxx: list[str]) -> dict[str, list[str]]:
    """Rewrite ``extra_compile_args``, which may be a list (for both compilers) or a dict."""
    if isinstance(given, dict):
        before = {key: [str(flag) for flag in flags] for key, flags in given.items()}
    else:
        before = {"cxx": [str(flag) for flag in given or ()], "nvcc": [str(flag) for flag in given or ()]}
    return {
        **before,
        "cxx": rewrite_cxx(before.get("cxx", []), cxx),
        "nvcc": rewrite_nvcc(before.get("nvcc", []), nvcc),
    }


def make_stable(
    original: Any, stable: dict[str, Any] | None, name: str, sources: list[str], args: Any, kwargs: dict[str, Any]
) -> Any:
    """``original(...)``; for the stable ABI with our headers before torch's, and linked against no library of torch's."""
    if stable is None:
        return original(name, sources, *args, **kwargs)
    own = list(kwargs.get("libraries") or ())
    kwargs["include_dirs"] = [stable["include_dir"], *(kwargs.get("include_dirs") or ())]
    kwargs["extra_link_args"] = [*(kwargs.get("extra_link_args") or ()), *stable["link_flags"]]
    kwargs["py_limited_api"] = True
    extension = original(name, sources, *args, **kwargs)
    extension.libraries = [*own, *stable["libraries"]]
    return extension


def put_together(sources: list[str], groups: list[dict[str, Any]]) -> list[str]:
    """``sources`` with the files of each group replaced by those that are made of them, where all of them are there.

    A group has ``files``; ``made``, the texts by name of what takes their place; and ``plain``, the same where ``header`` has not
    the texts that are ``expected`` of it.
    """
    for group in groups:
        members = [source for source in sources if os.path.basename(source) in group["files"]]
        folders = {os.path.dirname(source) for source in members}
        if len(members) != len(group["files"]) or len(folders) != 1:
            continue
        (folder,) = folders
        try:
            with open(os.path.join(folder, group["header"]), encoding="utf-8") as file:
                header = file.read()
        except OSError:
            header = ""
        known = all(text in header for text in group["expected"])
        made = []
        for name, text in group["made" if known else "plain"].items():
            made.append(os.path.join(folder, name))
            # One that is there already keeps its time, and ninja its object.
            with open(made[-1], "a+", encoding="utf-8") as file:
                file.seek(0)
                if file.read() != text:
                    file.truncate(0)
                    file.write(text)
        place = sources.index(members[0])
        sources = [source for source in sources if source not in members]
        sources[place:place] = made
    return sources


def _refuse_downloads() -> None:
    # Upstream's setup.py takes a prebuilt wheel from the web if it finds one: built for another glibc, another ABI.
    # Everything in urllib.request goes through this method.
    def refuse(_self: Any, url: Any, *_: Any, **__: Any) -> Any:
        address = str(getattr(url, "full_url", url))
        print(f"mamba-build-backend: refused: setup.py wants to download {address}", file=sys.stderr)
        # What a web server says of a file that it has not: some setup.py compiles after no other error.
        raise urllib.error.HTTPError(address, 404, "a build from source takes no prebuilt wheel", Message(), None)

    setattr(urllib.request.OpenerDirector, "open", refuse)  # noqa: B010 - a method of another signature


def _patch_extensions(spec: dict[str, Any]) -> None:
    from torch.utils import cpp_extension

    original = cpp_extension.CUDAExtension

    def planned_extension(name: str, sources: list[str], *args: Any, **kwargs: Any) -> Any:
        sources = put_together([str(source) for source in sources], spec["together"])
        kwargs["extra_compile_args"] = rewrite_arguments(
            kwargs.get("extra_compile_args"), spec["nvcc_flags"], spec["cxx_flags"]
        )
        return make_stable(original, spec["stable"], name, sources, args, kwargs)

    cpp_extension.CUDAExtension = planned_extension


def main() -> None:
    """Read the spec, patch, run setup.py."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec: dict[str, Any] = json.load(file)
    # torch alone comes first, through a link with a plain name; what torch imports comes last, so that it never hides
    # the build environment's setuptools.
    sys.path[:0] = spec["path_first"]
    sys.path += [entry for entry in spec["path_last"] if entry not in sys.path]
    _refuse_downloads()
    os.chdir(os.path.dirname(spec["setup"]))
    sys.path.insert(0, os.getcwd())
    if spec["nvcc_flags"]:
        _patch_extensions(spec)
    sys.argv = [spec["setup"], *spec["arguments"]]
    runpy.run_path(spec["setup"], run_name="__main__")


if __name__ == "__main__":
    main()
