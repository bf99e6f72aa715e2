"""Fill the gaps of a row's words for a log: commands for its module, its torch, its CUDA and its shell. No I/O.

Fixes are left out if the log does not fill their gaps, or if they are for another project than the log's.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..core.commands import Here, as_root, pip, uv_pip
from ..core.facts import Manager
from ..core.projects import default_project, project_names, read_projects
from ..core.versions import parsed
from ..tables import Tables, TorchRow, load_tables, read_rows
from .failure_table import Fix
from .log_evidence import TORCHS, Evidence, module_path

_GAP = re.compile(r"\{(\w+)\}")
_AFTER_BUILD = re.compile(r"(\))((?: -C \S+)+)")
_OLDEST_PYTHON = "3.9"
_OLDEST_GPU = 60
"""The kernels are compiled for Pascal and later, so another torch does not help an older GPU."""
_ASKED = "{python} -c 'import torch; print(torch.version.cuda)'"
"""A command that prints torch's CUDA; used inside other commands if the log does not name it."""


_PACKAGES = {
    "cublas": "cublas",
    "cublaslt": "cublas",
    "cusparse": "cusparse",
    "cusparselt": "cusparselt",
    "cufft": "cufft",
    "curand": "curand",
    "cusolver": "cusolver",
    "cupti": "cuda-cupti",
    "nccl": "nccl",
    "nvrtc": "cuda-nvrtc",
    "nvtoolsext": "nvtx",
    "nvjitlink": "nvjitlink",
    "cufile": "cufile",
    "nvshmem_host": "nvshmem",
}
"""NVIDIA's packages by the library that they contain. For other libraries cuDNN's is used: it is missing most often."""


class UnfillableError(Exception):
    """The log does not contain the value of a gap, or the words are about another project."""


class Advice:
    """Fills gaps such as ``{rebuild}`` for one explanation."""

    def __init__(self, evidence: Evidence, line: str, groups: Mapping[str, str], here: Here) -> None:
        self.evidence, self.line, self.groups = evidence, line, groups
        self.owner = evidence.owner(line)
        self.here = here.inside(evidence.shell(here.shell))
        self.tables: Tables = load_tables()

    @property
    def project(self) -> str:
        """The project that commands are for: the log's, or the default project if the log names none."""
        if self.owner and self.owner not in project_names():
            raise UnfillableError
        return self.owner or default_project()

    def filled(self, text: str) -> str:
        """The text without gaps. Raises UnfillableError."""
        return _GAP.sub(lambda match: self._value(match[1]), text)

    def fixes(self, rows: Iterable[Fix]) -> list[Fix]:
        """Return the fixes that apply to this log, spelled for its shell."""
        out = []
        for fix in rows:
            try:
                text = self.filled(fix.text)
                why = self.filled(fix.why)
            except UnfillableError:
                continue
            if "…" in text or (fix.is_command and (self._is_foreign(text) or self._is_too_new(text))):
                continue
            if fix.is_command:
                text = self._spelled(text)
                if not text:
                    continue
            out.append(replace(fix, text=text, why=why))
        if not out and self.owner not in ("", *project_names()):
            out.append(
                Fix(
                    f"build or install {self.whose} again for the torch that is installed, as its own page says",
                    is_command=False,
                )
            )
        return self._ordered(out)

    def asides(self, *, native: bool) -> list[str]:
        """Return further sentences for the cause, from other parts of the log."""
        out = []
        if (
            self.evidence.build_env
            and native
            and not self.here.building
            and (self.evidence.torch or "/torch/" in self.line)
        ):
            torch = f"torch {self.evidence.torch}" if self.evidence.torch else "its torch"
            out.append(
                f"The log is from an isolated build: pip downloaded {torch} for this build; it is not your torch."
            )
        if native and self.old_python:
            out.append(
                f"The log is from Python {self.evidence.python}: mamba-ssm-portable needs {_OLDEST_PYTHON} or newer."
            )
        path = module_path(self.line)
        if "/.local/lib/python" in path:
            out.append("The file is in ~/.local, which every environment of this Python version uses.")
        return out

    @property
    def whose(self) -> str:
        """The owner's name for a sentence."""
        return "torch" if self.owner == TORCHS else self.owner or "the module"

    # ------------------------------------------------------------------ gaps

    def _value(self, name: str) -> str:
        if name in self.groups:
            return self.groups[name]
        method = getattr(self, f"_gap_{name}", None)
        if method is None:
            raise KeyError(name)
        return str(method())

    def _gap_install(self) -> str:
        name = self.project
        return self.here.install(*([] if name == default_project() else [f"upstream={name}"]))

    def _gap_rebuild(self) -> str:
        return f"{self._gap_install()} -C distribution-name={self.project}"

    def _gap_upstream(self) -> str:
        name = self.project
        variable = next(key for key in read_projects()[name]["environment"] if key.endswith("_FORCE_BUILD"))
        words = f"install --no-build-isolation --no-cache-dir --force-reinstall --no-deps {name}"
        return f"{variable}=TRUE {pip(self.here.shell, words)}"

    def _gap_name(self) -> str:
        return self.project

    def _gap_module(self) -> str:
        return str(read_projects()[self.project]["extensions"][0])

    def _gap_whose(self) -> str:
        return self.whose

    def _gap_pip(self) -> str:
        return "{pip}"  # ``_spelled`` replaces it when the whole command is known

    def _gap_python(self) -> str:
        return self.here.shell.python

    def _gap_checkout(self) -> str:
        return self.here.checkout

    def _gap_path(self) -> str:
        if path := module_path(self.line):
            return shlex.quote(path)
        raise UnfillableError

    def _gap_wheel_file(self) -> str:
        match = re.search(r"/([\w.+-]{1,200}\.whl)\b", self.evidence.text)
        return self._known(match[1] if match else "")

    def _gap_torch_version(self) -> str:
        return self._known(self.evidence.torch)

    def _gap_nvcc_release(self) -> str:
        return self._known(self.evidence.nvcc)

    def _gap_releases(self) -> str:
        return self._known(" and ".join(f"{name} {release}" for name, release in self.evidence.releases.items()))

    @staticmethod
    def _known(text: str) -> str:
        if not text:
            raise UnfillableError
        return text

    @property
    def _cuda(self) -> str:
        """Torch's CUDA; empty if the log does not name it."""
        cuda = self.groups.get("torch") or self.evidence.cuda
        return cuda if re.fullmatch(r"\d+\.\d+", cuda or "") else ""

    def _gap_cuda_home(self) -> str:
        return f"/usr/local/cuda-{self._cuda}" if self._cuda else "/usr/local/cuda"

    def _gap_nvcc_dashed(self) -> str:
        return self._known(self.evidence.nvcc).replace(".", "-")

    def _gap_toolkit(self) -> str:
        cuda = self._cuda
        row = self.tables.cuda_row(cuda or self.tables.cuda[-1].version)
        known = row.version == cuda
        asked = _ASKED.format(python=self.here.shell.python)
        if self.evidence.rpm and self.here.shell.manager is not Manager.CONDA:
            package = row.apt if known else f'"cuda-toolkit-$({asked} | tr . -)"'
            return f"sudo dnf install {package}"
        release = f"cuda-toolkit={cuda}" if cuda else f'"cuda-toolkit=$({asked})"'
        way = row.conda if known and row.conda else f"conda install -c conda-forge {release}"
        return f"{way} && export CUDA_HOME=$CONDA_PREFIX"

    def _gap_only_modules(self) -> str:
        if self.evidence.modules or self.here.shell.modules:
            return ""
        raise UnfillableError

    def _gap_only_toolset(self) -> str:
        if self.evidence.toolset:
            return ""
        raise UnfillableError

    def _gap_unless_toolset(self) -> str:
        if not self.evidence.toolset:
            return ""
        raise UnfillableError

    def _gap_only_pixi(self) -> str:
        if self.here.shell.manager is Manager.PIXI:
            return ""
        raise UnfillableError

    def _gap_torch_auto(self) -> str:
        return uv_pip(self.here.shell, "install --reinstall-package torch torch --torch-backend=auto")

    def _gap_torch_of_library(self) -> str:
        """A torch with the CUDA version of the missing library."""
        major = self.groups.get("cuda", "").partition(".")[0]
        found = self._newest(lambda _, build: build.partition(".")[0] == major)
        return self._torch(*found)

    def _gap_torch_of_nvcc(self) -> str:
        """A torch for the installed nvcc."""
        major = self.groups.get("nvcc", "").partition(".")[0]
        return self._torch(*self._newest(lambda _, build: build.partition(".")[0] == major))

    def _gap_torch_of_12(self) -> str:
        return self._torch(*self._newest(lambda _, build: build.startswith("12.")))

    def _gap_torch_for_gpu(self) -> str:
        """A torch whose build has code for the GPU that the log names."""
        capability = self.groups.get("capability", "").replace(".", "")
        if not capability.isdigit() or int(capability) < _OLDEST_GPU:
            raise UnfillableError
        arch = "aarch64" if self.evidence.aarch64 else "x86_64"
        gpu = f"{capability[:-1]}.{capability[-1]}"
        fits = [(row, cuda) for row in self.tables.torch for cuda in row.builds_for(arch) if row.runs(cuda, arch, gpu)]
        # The log does not name the driver. Nearly all drivers support CUDA 12, and drivers of GPUs that need CUDA 13
        # support that.
        majors = sorted({cuda.partition(".")[0] for _, cuda in fits}, key=lambda major: (major != "12", int(major)))
        least = majors[0] if majors else ""
        found = self._newest(lambda row, build: (row, build) in fits and build.partition(".")[0] == least)
        return self._torch(*found)

    def _newest(self, fits: object) -> tuple[TorchRow, str]:
        for row in reversed(self.tables.torch):
            if self.evidence.python and self.evidence.python not in row.python:
                continue
            builds = [build for build in row.builds if fits(row, build)]  # type: ignore[operator]
            if builds:
                return row, builds[-1]
        raise UnfillableError

    def _torch(self, row: TorchRow, cuda: str) -> str:
        backend = "cu" + cuda.replace(".", "")
        return uv_pip(self.here.shell, f"install --reinstall 'torch=={row.version}.*' --torch-backend={backend}")

    def _gap_library_package(self) -> str:
        """NVIDIA's package with the missing library, for torch's CUDA."""
        package = _PACKAGES.get(self.groups.get("library", "…").lower(), "cudnn")
        major = self.evidence.cuda.partition(".")[0] or "12"
        plain = major == "13" and package not in ("cudnn", "nccl", "cusparselt")
        return f"nvidia-{package}" + ("" if plain else f"-cu{major}")

    def _gap_fork_folder(self) -> str:
        return self._fork()[0]

    def _gap_fork_release(self) -> str:
        return self._fork()[1]

    def _fork(self) -> tuple[str, str]:
        """The folder of the fork that a project ships, and the release that the fork is based on."""
        rows = read_rows("failures", "argument", "folder", "release", "source", array="fork")
        row = next((row for row in rows if row["argument"] in self.groups.get("argument", "")), rows[-1])
        return str(row["folder"]), str(row["release"])

    def _gap_install_mamba3(self) -> str:
        return pip(self.here.shell, f"install '{self.here.checkout}[mamba3]'".replace("'~/", "~/'"))

    def _gap_nearest(self) -> str:
        """The release in pip's list that the user most likely meant."""
        wanted = self.groups.get("wanted", "")
        listed: list[str] = re.findall(r"\d[\w.]*", self.groups.get("listed", ""))
        after = [item for item in listed if item.startswith(f"{wanted}.post")]
        if after:
            return after[-1]
        same = [item for item in listed if item.split(".")[:2] == wanted.split(".")[:2]]
        found = same or listed
        return self._known(found[-1] if found else "")

    # ------------------------------------------------------------------ spelling

    def _spelled(self, text: str) -> str:
        """Spell the command for the log's shell; empty if that shell has no such command."""
        shell, text = self.here.shell, text.strip()
        rpm = self.evidence.rpm
        if self.evidence.aarch64:
            text = re.sub(r"\b((?:gxx|sysroot)_linux)-64=", r"\1-aarch64=", text)
        if rpm and "apt-get" in text and "dnf" not in text:
            text = text.replace("sudo apt-get install python3-dev", "sudo dnf install python3-devel")
            text = text.replace("sudo apt-get install ", "sudo dnf install ").replace("g++-", "gcc-toolset-")
            text = re.sub(r"(gcc-toolset-\d+)(?= |$)", r"\1-gcc-c++", text)
        if text.startswith("sudo apt-get"):
            text = as_root(shell, text) if shell.root or shell.container else text
        if self.here.installed:
            text = _AFTER_BUILD.sub(r"\2\1", text)  # settings go inside the parentheses, next to the build command
        text = re.sub(r"( -C [^\s)]+)(?=.*\1(?: |\)|$))", "", text)  # drop a repeated setting
        text = re.sub(
            r"\{pip\} ((?:[^&|;'\"]|'[^']*'|\"[^\"]*\")+)",
            lambda m: pip(shell, m[1].rstrip()) + " " * (len(m[1]) - len(m[1].rstrip())),
            text,
        )
        text = re.sub(r"(^|&& )python (?=-)", lambda match: f"{match[1]}{shell.python} ", text)
        if text.startswith("uv pip ") and not shell.uv:
            text = uv_pip(shell, text[7:])
        if shell.uv and not shell.pip and re.search(r"uv pip (?:debug|download|index)\b", text):
            return ""
        if self.evidence.notebook and re.match(r"(?:\w+=\S+ )*(?:python|uv|apt-get|pip)\b", text):
            return f"!{text}"
        return text

    def _is_foreign(self, text: str) -> bool:
        """Whether a command changes a project of ours that the log does not mention."""
        if self.owner == "" or self.owner in project_names():
            return False
        # The path of a Python or of a clone may also contain the name.
        return any(re.search(rf"(?:[ '=]){re.escape(name)}(?![\w/-])", text) for name in project_names())

    def _is_too_new(self, text: str) -> bool:
        """Whether the command runs this project, and the log's Python is too old for it."""
        ours = self.here.checkout in text or "mamba_build_backend" in text
        return ours and self.old_python

    @property
    def old_python(self) -> bool:
        """Whether the log's Python is too old for this project."""
        return bool(self.evidence.python) and parsed(self.evidence.python) < parsed(_OLDEST_PYTHON)

    def _ordered(self, fixes: list[Fix]) -> list[Fix]:
        """Put conda's commands first in conda environments, and last in others."""
        manager = self.here.shell.manager
        if manager in (Manager.UNKNOWN, Manager.VENV) and not fixes[:1]:
            return fixes
        away = manager in (Manager.VENV, Manager.PIXI, Manager.SYSTEM)
        return sorted(fixes, key=lambda fix: away and fix.text.startswith("conda "))
