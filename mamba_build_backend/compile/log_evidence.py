"""Read from a log what surrounds the error: whose module, which torch, system and commands. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

from ..core._compat import utils
from ..core.facts import Manager, Shell
from ..core.projects import default_project, project_names, read_projects
from ..tables import admits, is_version, load_tables

TORCHS = "torch"
"""The owner of torch's own libraries, and of NVIDIA's libraries next to torch."""

_TORCH = re.compile(
    r"torch\.__version__ {1,4}={1,2} {0,4}['\"]?(?P<a>\d+\.\d+[\w.+]*)|\btorch(?:==| |: ?)v?(?P<b>\d\.\d+\.\d+[\w.+]*)"
    r"|(?i:\bpytorch(?: version)? ?[:=]? ?v?)(?P<c>\d\.\d+(?:\.\d+)?[\w.+]*)|\b(?P<d>\d\.\d+\.\d+\+cu\d{2,3})\b"
)
_CUDA = re.compile(r"\+cu(\d{2})(\d)\b")
_NVCC = re.compile(r"Cuda compilation tools, release (\d+\.\d+)|(?i:nvcc[^\n]{0,40}?\b(?:release |cuda ?)v?)(\d+\.\d)")
_PYTHON = re.compile(r"\bpython(3\.\d{1,2})\b|\bcp(3)(\d{1,2})-cp|\bcpython-(3)(\d{1,2})\b")
_CPU_CONDA = re.compile(r"^\d+\.\d+\.\d+\.post[01]?\d{2}$")
_WINDOWS = re.compile(
    r"\b[A-Za-z]:\\\\?\w|win_amd64|win_arm64|\bMSC v\.|cl\.exe|nvcc\.exe|Microsoft Visual Studio|\bPS [A-Z]:"
)
_MACOS = re.compile(r"macosx[_-]\d|/private/(?:tmp|var)/|/var/folders/|\bdarwin\b|/opt/homebrew/|/Users/\w")
_ROCM = re.compile(
    r"\+rocm\d|/opt/rocm|\bhipcc\b|\bgfx(?:9|1[0-2])\w{2}\b|torch\.version\.hip|\blib(?:torch|c10)_hip\.so"
)
_PLACES = {"windows": _WINDOWS, "macos": _MACOS, "rocm": _ROCM}
_BUILD_ENV = re.compile(r"pip-build-env-\w+|/builds-v0/|build-env-\w+/|\.tmp\w{6}/lib/python")
_UV = re.compile(
    r"(?m:(?:^|[\s$#>!])uv (?:pip|sync|add|run|build|lock)\b)|/\.cache/uv/|\bbuilds-v0\b|hint: This usually indicates a problem"
)
_PIXI = re.compile(r"\bpixi\b|/\.pixi/envs/")
_CONDA = re.compile(
    r"\b(?:mini|ana)conda\d?\b|miniforge|mambaforge|conda-linux-gnu|(?m:\b(?:conda|mamba|micromamba) (?:install|create|activate)\b)|/conda/envs/|CONDA_PREFIX"
)
_NOTEBOOK = re.compile(r"(?m:^[ \t]*[!%]pip )|/usr/local/lib/python3\.\d+/dist-packages/(?:google/)?colab|\bIn \[\d+\]")
_RPM = re.compile(
    r"\bel[789]\b|(?i:\b(?:rocky|almalinux|centos|red ?hat|rhel|fedora)\b)|\b(?:dnf|yum) install|GCC \d[\d.]* \d{8} \(Red Hat"
)
_EL7 = re.compile(r"\bel7\b|(?i:\bcentos(?: linux)?(?: release)? ?7)|devtoolset")
_AARCH64 = re.compile(r"\baarch64\b|linux-aarch64|\bGB10\b|\bGH200\b|\bThor\b|\bOrin\b|\bsbsa\b")
_ROOT = re.compile(r"(?m:^#\d+ \d+\.\d+ )|/root/|\broot@")
_MODULES = re.compile(
    r"\bmodule (?:load|avail|purge|unload)\b|/(?:cvmfs|easybuild|spack|lustre|gpfs|scratch|localscratch)/|\bsbatch\b|\bsrun\b|\bslurm",
    re.IGNORECASE,
)
_SHARED = re.compile(
    r"(?P<path>/?[^\s:'\"]{0,300}?)(?P<name>[\w+-]{1,80})(?:\.cpython-[\w-]{1,60}|\.abi3)?\.so(?:\.[\d.]{1,12})?(?=[:'\" )])"
)
_IMPORTED = re.compile(r"\b(\w{1,60}_cuda\w{0,20}|_C)\b")
_PACKAGE = re.compile(
    r"Failed (?:building wheel|to build) (?!installable )(?:for )?[`'\"]?([\w.-]+)|based projects \(([\w.-]+)|Building wheels? for (?:collected packages: )?([\w.-]+)"
    r"|╰─▶? ?Failed to build `?([\w.-]+)|Could not build wheels for ([\w.-]+)"
)
_OWN_COPY = re.compile(
    r'File "(?=/|[A-Za-z]:)(?![^"\n]{0,300}(?:(?:site|dist)-packages|/mamba(?:-main|-[\d.]+)?/mamba_))[^"\n]{1,300}/(?:ops|modules)/\w+\.py", line'
)
"""A traceback frame in a copy of our code that is neither installed nor a clone of upstream."""
_OF_TORCH = re.compile(r"/torch/lib/|/nvidia/\w+/lib|\blib(?:torch|c10|caffe2)\w*$")
_DEPENDENCIES = ("torch", "triton", "numpy", "transformers", "ninja", "packaging", "einops", "setuptools", "wheel")


@dataclass(frozen=True)
class Evidence:
    """Facts that a log contains, searched on first use."""

    text: str

    @cached_property
    def torch(self) -> str:
        """The version of torch that the log names; empty if there is none."""
        for match in _TORCH.finditer(self.text):
            found = str(next(filter(None, match.groupdict().values()))).rstrip(".")
            if is_version(found):
                return found
        return ""

    @property
    def cuda(self) -> str:
        """The CUDA of that torch, from its local version."""
        match = _CUDA.search(self.torch)
        return f"{match[1]}.{match[2]}" if match else ""

    @cached_property
    def nvcc(self) -> str:
        """The release of the nvcc that the log shows."""
        match = _NVCC.search(self.text)
        return (match[1] or match[2]) if match else ""

    @cached_property
    def python(self) -> str:
        """The Python whose folders or tags the log names, such as ``3.11``."""
        match = _PYTHON.search(self.text)
        if match is None:
            return ""
        return match[1] or f"{match[2] or match[4]}.{match[3] or match[5]}"

    def place(self, name: str) -> re.Match[str] | None:
        """The text that shows Windows, macOS or a torch for AMD GPUs; ``name`` is ``windows``, ``macos`` or ``rocm``."""
        return _PLACES[name].search(self.text)

    @cached_property
    def windows(self) -> bool:
        """Whether the log is from Windows."""
        return self.place("windows") is not None

    @cached_property
    def macos(self) -> bool:
        """Whether the log is from macOS."""
        return self.place("macos") is not None and not self.windows

    @cached_property
    def rocm(self) -> bool:
        """Whether the log is from a torch for AMD GPUs."""
        return self.place("rocm") is not None

    @cached_property
    def build_env(self) -> bool:
        """Whether the log is from an isolated build environment."""
        return bool(_BUILD_ENV.search(self.text))

    @property
    def conda_torch(self) -> bool:
        """Whether torch is conda-forge's build without CUDA, whose versions end in a build number below 200."""
        return bool(_CPU_CONDA.match(self.torch))

    @property
    def nvcc_there(self) -> bool:
        """Whether the log names an nvcc release."""
        return bool(self.nvcc)

    @cached_property
    def modules(self) -> bool:
        """Whether the log is from a cluster with environment modules."""
        return bool(_MODULES.search(self.text))

    @cached_property
    def rpm(self) -> bool:
        """Whether the system's packages are RPMs."""
        return bool(_RPM.search(self.text))

    @cached_property
    def toolset(self) -> bool:
        """Whether the system is RHEL 8 or newer (or a relative), where newer compilers are called gcc-toolset."""
        return self.rpm and not _EL7.search(self.text)

    @cached_property
    def aarch64(self) -> bool:
        """Whether the log is from an Arm machine."""
        return bool(_AARCH64.search(self.text))

    @cached_property
    def root(self) -> bool:
        """Whether root ran the commands, as in a container image."""
        return bool(_ROOT.search(self.text))

    @cached_property
    def notebook(self) -> bool:
        """Whether the log is from a notebook."""
        return bool(_NOTEBOOK.search(self.text))

    @property
    def conda(self) -> bool:
        """Whether the log is from a conda environment."""
        return bool(_CONDA.search(self.text))

    @cached_property
    def releases(self) -> dict[str, str]:
        """The versions of our projects that the log names."""
        pattern = rf"\b({_names()})(?:-|==| (?:@ )?| {{2,20}}|: )v?(\d+\.\d+\.\d+(?:\.post\d+)?)"
        return {utils.canonicalize_name(name): release for name, release in re.findall(pattern, self.text)}

    @property
    def pair_fits(self) -> bool:
        """Whether the log names versions of a project and its partner that fit together."""
        for row in load_tables().versions:
            partner = row.project.partner.name if row.project.partner else ""
            if row.partner_fits and self.releases.get(row.name) == row.version and partner in self.releases:
                return admits(row.partner_fits, self.releases[partner])
        return False

    @property
    def old_copy(self) -> bool:
        """Whether the installed versions are not the cause: a project's own copy of our code is called, or they fit together."""
        return self.pair_fits or bool(_OWN_COPY.search(self.text))

    def shell(self, here: Shell) -> Shell:
        """The shell that the log shows, or ``here`` if the log shows none."""
        if _PIXI.search(self.text):
            return replace(here, manager=Manager.PIXI, python="python")
        if _UV.search(self.text):
            return replace(here, manager=Manager.VENV, pip=False, uv=True)
        if self.notebook:
            return replace(here, python="python", manager=Manager.SYSTEM, pip=True, root=True, container=True)
        manager = Manager.CONDA if self.conda or self.conda_torch else here.manager
        return replace(
            here, manager=manager, root=True if self.root else here.root, container=self.root or here.container
        )

    def owner(self, line: str) -> str:
        """Which project the line is about: one of ours, TORCHS, another project's name, or empty if there is none."""
        named = _of_modules(line) or _of_words(line)
        if named:
            return named
        packages = [utils.canonicalize_name(next(filter(None, item))) for item in _PACKAGE.findall(self.text)]
        packages = [name for name in packages if name not in _DEPENDENCIES]
        ours = [name for name in packages if name.removesuffix("-portable") in read_projects()]
        if packages:
            return ours[0].removesuffix("-portable") if ours else packages[0]
        # The last import before the line is the import that failed.
        before = self.text[: max(self.text.find(line), 0)] if line else self.text
        imported = re.findall(r"\bimport (\w{1,60}_cuda)\b", before)
        return (_of_module(imported[-1]) if imported else "") or _of_words(self.text)


def module_path(line: str) -> str:
    """Return the first module file in a loader's message; empty if there is none."""
    match = _SHARED.search(line)
    return line[match.start() : match.end()].strip("'\" (") if match and "/" in match["path"] else ""


def _of_modules(line: str) -> str:
    for match in _SHARED.finditer(line):
        if _OF_TORCH.search(match["path"] + match["name"]):
            return TORCHS
        if match["name"] in ("_C", "_ext", "ops"):  # its package has the telling name
            return match["path"].rstrip("/").rpartition("/")[2]
        if not match["name"].startswith("lib"):
            return _of_module(match["name"])
    for name in _IMPORTED.findall(line):
        if (owner := _of_module(name)) and not name.startswith(("torch", "lib", "no_")):
            return owner
    return ""


def _of_module(name: str) -> str:
    for project, data in read_projects().items():
        if name in data.get("extensions", ()):
            return project
    return "" if name in ("_C", "is_cuda", "with_cuda", "torch_cuda", "c10_cuda") else name


def _names() -> str:
    """Return a pattern of our projects' names, as archives and pip spell them."""
    return "|".join(name.replace("-", "[-_]") for name in project_names())


def _of_words(text: str) -> str:
    """Return the project of ours that a text mentions; the default project if the text mentions several."""
    found = set()
    for name, data in read_projects().items():
        address = str(data.get("repository", "")).rstrip("/").removesuffix(".git").partition("github.com/")[2]
        words = [
            name.replace("-", "[-_]"),
            *map(re.escape, (*data.get("extensions", ()), *([address] if address else ()))),
        ]
        if re.search(r"\b(?:" + "|".join(words) + r")(?![a-z0-9]|_\w)", text, re.IGNORECASE):
            found.add(name)
    if default_project() in found:
        return default_project()
    return next(iter(found), "")
