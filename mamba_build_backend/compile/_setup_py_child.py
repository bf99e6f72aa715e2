"""Run upstream's setup.py in its own process, with the plan's flags in place of upstream's.

Started as ``python _setup_py_child.py BUILD-STEP.json``. Imports only the standard library, because upstream controls
the build environment's packages here. ``toolchain/shims/protocol.py`` describes the JSON file. Rewriting the arguments
of ``CUDAExtension`` works for every version and every project; patching the text of setup.py would need a patch for
each.
"""

from __future__ import annotations

import builtins
import io
import os
import re
import runpy
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING or __package__:
    from ..toolchain.shims.nvcc_options import replace_upstreams
    from ..toolchain.shims.protocol import ProtocolError, Regrouping, SetupPy, StableExtension, TorchStandIn, read
else:
    # Python puts this file's folder first on sys.path. Replace it by the shims' folder while their modules are
    # imported, then remove that too: upstream's imports must not find modules of the backend.
    _FOLDER = os.path.dirname(os.path.abspath(__file__))
    _SHIMS = os.path.join(os.path.dirname(_FOLDER), "toolchain", "shims")
    sys.path[:] = [_SHIMS, *(entry for entry in sys.path if entry != _FOLDER)]
    from nvcc_options import replace_upstreams
    from protocol import ProtocolError, Regrouping, SetupPy, StableExtension, TorchStandIn, read

    del sys.path[0]


def rewrite_cxx(upstreams: Sequence[str], planned: Sequence[str]) -> list[str]:
    """Replace the only host compiler option that the plan decides: the language standard."""
    return [*(flag for flag in upstreams if not re.match(r"-?-std=", flag)), *planned]


def rewrite_arguments(upstreams: Any, nvcc: Sequence[str], cxx: Sequence[str]) -> dict[str, list[str]]:
    """Rewrite ``extra_compile_args``, which may be a list (for both compilers) or a dict."""
    if isinstance(upstreams, dict):
        before = {key: [str(flag) for flag in flags] for key, flags in upstreams.items()}
    else:
        before = {key: [str(flag) for flag in upstreams or ()] for key in ("cxx", "nvcc")}
    return {
        **before,
        "cxx": rewrite_cxx(before.get("cxx", []), cxx),
        "nvcc": replace_upstreams(before.get("nvcc", []), nvcc),
    }


def make_stable(
    original: Any,
    stable: Optional[StableExtension],
    name: str,
    sources: list[str],
    args: Any,
    kwargs: dict[str, Any],
) -> Any:
    """Call ``original``. For the stable ABI, use our headers in place of torch's, and link no library of torch."""
    if stable is None:
        return original(name, sources, *args, **kwargs)
    own = list(kwargs.get("libraries") or ())
    kwargs["include_dirs"] = [stable.include_dir, *(kwargs.get("include_dirs") or ())]
    kwargs["extra_link_args"] = [*(kwargs.get("extra_link_args") or ()), *stable.link_flags]
    kwargs["py_limited_api"] = True
    extension = original(name, sources, *args, **kwargs)
    extension.libraries = [*own, *stable.libraries]
    # A torch header that we do not replace is then a compile error; otherwise the wheel would work with only one torch.
    given = (str(path) for path in extension.include_dirs)
    extension.include_dirs = [path for path in given if not re.search(r"/torch/include(/|$)", path)]
    return extension


def regroup(sources: list[str], regroupings: Sequence[Regrouping]) -> list[str]:
    """Replace upstream's files by generated ones, for each regrouping whose files are all in ``sources`` and in one folder.

    Writes the generated files into that folder. ``compile/regroup_kernels.py`` generates their text.
    """
    for item in regroupings:
        members = [source for source in sources if os.path.basename(source) in item.files]
        folders = {os.path.dirname(source) for source in members}
        if len(members) != len(item.files) or len(folders) != 1:
            continue
        (folder,) = folders
        generated = []
        for file in item.regrouped if _has_expected_header(item, folder) else item.joined:
            generated.append(os.path.join(folder, file.name))
            _write_changed(generated[-1], file.text)
        place = sources.index(members[0])
        sources = [source for source in sources if source not in members]
        sources[place:place] = generated
    return sources


def _has_expected_header(regrouping: Regrouping, folder: str) -> bool:
    try:
        with open(os.path.join(folder, regrouping.header), encoding="utf-8") as file:
            header = file.read()
    except OSError:
        return False
    return all(text in header for text in regrouping.expected)


def _write_changed(path: str, text: str) -> None:
    """Write a file unless it already has this text: an unchanged time stamp lets ninja keep the object."""
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        if file.read() != text:
            file.truncate(0)
            file.write(text)


def _refuse_downloads() -> None:
    # Upstream's setup.py downloads a prebuilt wheel if it finds one: built for another glibc, another ABI.
    # Every function of urllib.request calls this method.
    def refuse(_self: Any, url: Any, *_: Any, **__: Any) -> Any:
        address = str(getattr(url, "full_url", url))
        print(f"mamba-build-backend: refused: setup.py wants to download {address}", file=sys.stderr)
        # 404, as from a web server that lacks the file: some setup.py compile only after this error.
        raise urllib.error.HTTPError(address, 404, "a build from source takes no prebuilt wheel", Message(), None)

    setattr(urllib.request.OpenerDirector, "open", refuse)  # noqa: B010 - a method of another signature


def _answer_as_if_gpu(capability: str) -> None:
    """Show a GPU of the wheel's to a setup.py that asks torch for one; the plan's options replace its choice anyway."""
    import torch

    major, minor = (int(part) for part in capability.split("."))
    properties = SimpleNamespace(
        major=major, minor=minor, name="GPU", multi_processor_count=108, total_memory=80 << 30, gcnArchName=""
    )
    answers = {
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_capability": (major, minor),
        "get_device_name": "GPU",
        "get_device_properties": properties,
        "is_bf16_supported": True,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, partial(_answered, answer))


def _answered(answer: Any, *_: Any, **__: Any) -> Any:
    return answer


_TEXTS = re.compile(
    r"(README|CHANGELOG|CHANGES|HISTORY|LICEN[CS]E|DESCRIPTION|AUTHORS|NOTICE|requirements)[\w.-]*", re.IGNORECASE
)


def _read_missing_texts_as_empty() -> None:
    """Let ``open`` read a missing README or LICENSE as empty: copied projects often lack them, and setup.py reads them."""
    original = builtins.open

    def lenient(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        try:
            return original(file, mode, *args, **kwargs)
        except FileNotFoundError:
            name = os.path.basename(os.fspath(file)) if isinstance(file, (str, os.PathLike)) else ""
            if "r" not in mode or not _TEXTS.fullmatch(str(name)):
                raise
            print(
                f"mamba-build-backend: setup.py reads {name}, which does not exist: reading it as empty",
                file=sys.stderr,
            )
            return io.BytesIO() if "b" in mode else io.StringIO()

    setattr(builtins, "open", lenient)  # noqa: B010 - a function of another signature
    setattr(io, "open", lenient)  # noqa: B010 - pathlib's way


def _patch_extensions(step: SetupPy) -> None:
    from torch.utils import cpp_extension

    original = cpp_extension.CUDAExtension

    def planned_extension(name: str, sources: list[str], *args: Any, **kwargs: Any) -> Any:
        sources = regroup([str(source) for source in sources], step.regroupings)
        kwargs["extra_compile_args"] = rewrite_arguments(
            kwargs.get("extra_compile_args"), step.nvcc_flags, step.cxx_flags
        )
        return make_stable(original, step.stable, name, sources, args, kwargs)

    cpp_extension.CUDAExtension = planned_extension
    if step.stable is not None and step.stand_in is None:
        # The wheel links its own CUDA runtime, so torch's CUDA version does not matter.
        setattr(cpp_extension, "_check_cuda_version", lambda *_: None)  # noqa: B010 - a private function


def _stand_in_for_torch(stand_in: TorchStandIn) -> None:
    """Import our package ``torch``, which has only what setup.py uses, in place of the real torch."""
    sys.path.insert(0, stand_in.folder)
    torch: Any = __import__("torch")
    torch.describe(stand_in.version, stand_in.cuda)
    del sys.path[0]


def _lacks_of_torch(error: Exception) -> str:
    """Return the message if setup.py used a name that the stand-in for torch lacks; empty for any other error."""
    text = str(error)
    of_torch = (getattr(error, "name", None) or "").partition(".")[0] == "torch" or "'torch" in text
    return text if of_torch and isinstance(error, (AttributeError, ImportError)) else ""


def main() -> None:
    """Read the build step, patch, run setup.py."""
    try:
        step = read(sys.argv[1]).setup_py
    except ProtocolError as error:
        sys.exit(f"mamba-build-backend: {error}")
    for name in ("nvcc_options", "protocol"):
        sys.modules.pop(name, None)  # upstream may have modules with these names
    # Only torch comes first, through a link with a plain name. torch's dependencies come last, so that they never hide
    # the build environment's setuptools.
    sys.path[:0] = step.path_first
    sys.path += [entry for entry in step.path_last if entry not in sys.path]
    _refuse_downloads()
    os.chdir(os.path.dirname(step.script))
    sys.path.insert(0, os.getcwd())
    if step.stand_in is not None:
        _stand_in_for_torch(step.stand_in)
    if step.as_if_gpu:
        _answer_as_if_gpu(step.as_if_gpu)
        _read_missing_texts_as_empty()
    if step.nvcc_flags:
        _patch_extensions(step)
    sys.argv = [step.script, *step.arguments]
    try:
        runpy.run_path(step.script, run_name="__main__")
    except (AttributeError, ImportError) as error:
        if step.stand_in is not None and (lacks := _lacks_of_torch(error)):
            release = ".".join(step.stand_in.version.split(".")[:2])
            sys.exit(
                f"mamba-build-backend: error: abi=stable runs setup.py without torch, and setup.py needs more of torch: {lacks}; "
                f"-C torch=torch=={release}.* installs torch for the build"
            )
        raise


if __name__ == "__main__":
    main()
