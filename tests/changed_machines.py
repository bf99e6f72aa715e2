"""Recorded machines with one change each, and the resulting change of the report.

The machines of ``tests/facts`` do not cover every decision. Each case here is such a machine with another driver, GPU,
system, compiler or setting. ``tests/changed_machines.txt`` holds the report: its problems, or the lines that differ
from the report of the recorded machine. ``python tests/update_reports.py`` writes it anew.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from support import ROOT

from mamba_build_backend import plan, tables
from mamba_build_backend.core.facts import (
    CacheProgram,
    Compiler,
    CompilerCache,
    Facts,
    Gpu,
    Manager,
    Origin,
    Package,
    Polluted,
    Shell,
    Sysroot,
    SysrootProvider,
    Toolkit,
    Torch,
)
from mamba_build_backend.core.tree_facts import Fault
from mamba_build_backend.plan import report
from mamba_build_backend.plan.types import BuildPlan
from mamba_build_backend.probe import recording

FACTS = ROOT / "tests" / "facts"
AGREED = ROOT / "tests" / "changed_machines.txt"


@dataclass(frozen=True)
class Changed:
    """A machine's name, settings on top of its own, and what of its facts is another."""

    name: str
    machine: str
    settings: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    shown: str = ""
    """``brief``: all of the report without ``-v``; ``whole``: all of it with."""

    def planned(self) -> tuple[Facts, BuildPlan]:
        settings, found = recording.load(FACTS / f"{self.machine}.json", dict(self.settings))
        found = replace(found, **{key: _changed(found, key, value) for key, value in self.facts.items()})
        return found, plan.decide(settings, found, tables.load_tables())

    def text(self) -> str:
        """The problems; without problems, the lines that differ from the report of the recorded machine."""
        found, made = self.planned()
        lines = report.plan_text(
            found, made, verbose=self.shown == "whole" or not (made.problems or self.shown)
        ).splitlines()
        if not (made.problems or self.shown):
            before = (FACTS / f"{self.machine}.txt").read_text(encoding="utf-8").splitlines()
            differing = [*difflib.unified_diff(before, lines, n=0, lineterm="")][2:]
            lines = [line for line in differing if not line.startswith("@@")]
        codes = "".join(f", {problem.code}" for problem in made.problems)
        return "".join(f"{line}\n" for line in (f"== {self.name} ({self.machine}{codes})", *lines, ""))


def _changed(found: Facts, key: str, value: Any) -> Any:
    """A dictionary changes fields of the recorded value; of several compilers or torches, it changes the first."""
    if not isinstance(value, dict):
        return value
    there = getattr(found, key)
    return (replace(there[0], **value), *there[1:]) if isinstance(there, tuple) else replace(there, **value)


def texts() -> Iterator[str]:
    """The number of all cases."""
    return (item.text() for item in CASES)


def gpu(name: str, capability: str) -> dict[str, Any]:
    return {"gpus": (Gpu(name, capability),)}


def kits(*versions: str, **fields: Any) -> dict[str, Any]:
    return {
        "toolkits": tuple(
            Toolkit(f"/usr/local/cuda-{version}", "PATH", version=version, origin=Origin.PATH, **fields)
            for version in versions
        )
    }


def gxx(*versions: str, **fields: Any) -> dict[str, Any]:
    given = {"target": "x86_64-linux-gnu", "libstdcxx_static": "/usr/lib/libstdc++.a", "libstdcxx": "3.4.30", **fields}
    return {
        "compilers": tuple(
            Compiler(f"/usr/bin/g++-{version}", "PATH", version=version, origin=Origin.PATH, **given)
            for version in versions
        )
    }


def torch(version: str, cuda: str | None, tag: str = "cp311-cp311-linux_x86_64", **fields: Any) -> dict[str, Any]:
    site = "/home/u/venv/lib/python3.11/site-packages"
    item = Torch(site, "the environment /home/u/venv", version, cuda, tag=tag, origin=Origin.ENVIRONMENT, **fields)
    return {"torches": (item,)}


def system(distribution: str, manager: Manager = Manager.VENV, **fields: Any) -> dict[str, Any]:
    return {"machine": {"distribution": distribution}, "shell": Shell(manager=manager, **fields)}


def python(release: str) -> dict[str, Any]:
    return {"machine": {"python_version": f"{release}.1", "python_tag": f"cp{release.replace('.', '')}"}}


V100, P100, H100 = gpu("V100", "7.0"), gpu("P100", "6.0"), gpu("H100", "9.0")
B300, LATER = gpu("B300", "10.3"), gpu("a GPU to come", "15.0")
NOTHING = {"cuda-mirror": "off"}
ONE_TORCH = {"abi": "torch"}
CU13, CU12, CU11, BARE = (
    "debian12-torch2.11-cuda13.0",
    "torch-2.8-default",
    "causal-conv1d-default-torch-2.1",
    "no-torch",
)
"""A complete machine with CUDA 13.0, 12.8 and 11.8, and a machine with only g++."""

CASES = (
    # Whether the GPU and the driver run what is compiled.
    Changed("the driver does not run the nvcc that is here", CU12, NOTHING, {"driver": "550.54", **H100, **kits("13.0")}),
    Changed("the driver does not run the nvcc that is here, with arch=native", CU12, {**NOTHING, "arch": "native"}, {"driver": "550.54", **H100, **kits("13.0")}),
    Changed("the driver need not run the nvcc, as the GPUs are named", CU12, {**NOTHING, "arch": "9.0"}, {"driver": "550.54", **H100, **kits("13.0")}),
    Changed("a newer driver would be of no use to the GPU", CU12, NOTHING, {"driver": "550.54", **V100, **kits("13.0")}),
    Changed("no g++ goes with what the driver runs", CU12, NOTHING, {"driver": "470.57", **V100, **kits("13.0"), **gxx("15.2.0")}),
    Changed("the driver is older than every torch", BARE, NOTHING, {"driver": "418.67", **V100, **kits("12.4")}),
    Changed("the driver is older than the nvcc, and there is no torch", BARE, NOTHING, {"driver": "470.57", **V100, **kits("12.4")}),
    Changed("the GPU is newer than the nvcc", CU12, NOTHING, {"driver": "580.82", **B300, **kits("12.4")}),
    Changed("the GPU is newer than the nvcc, for one torch", CU12, {**NOTHING, **ONE_TORCH}, {"driver": "580.82", **B300, **kits("12.4")}),
    Changed("the GPU is older than the nvcc", CU13, NOTHING, {"driver": "580.82", **V100, **kits("13.0")}),
    Changed("the GPU is older than the nvcc, and torch has code for it", CU12, NOTHING, {"driver": "580.82", **P100, **torch("2.6.0+cu126", "12.6"), **kits("13.0")}),
    Changed("the GPU is older than the nvcc, and the g++ newer than that of the GPU takes", CU12, NOTHING, {"driver": "580.82", **V100, **torch("2.6.0+cu126", "12.6"), **kits("13.0"), **gxx("15.2.0")}),
    Changed("the GPU is newer than the nvcc, and the g++ older than both", CU12, {**NOTHING, **ONE_TORCH}, {"driver": "580.82", **B300, **kits("12.4"), **gxx("7.5.0")}),
    Changed("the nvcc itself says that it does not compile for the GPU", CU12, NOTHING, {"driver": "580.82", **H100, **kits("12.8", archs=("75", "80"))}),
    Changed("no CUDA is known that does", CU13, {}, {"driver": "590.44", **LATER}),
    Changed("no CUDA is known that does, for one torch", CU12, ONE_TORCH, {"driver": "590.44", **LATER}),
    Changed("torch is installed for the build, and not for the GPU", BARE, {**ONE_TORCH, "torch": "torch==2.8.*"}, {"driver": "580.82", **P100}),
    Changed("torch is named with its CUDA, which has code for the GPU", BARE, {**ONE_TORCH, "torch": "torch==2.8.0+cu128"}, {"driver": "580.82", **V100}),
    Changed("torch is to be installed for an older driver", BARE, {**ONE_TORCH, "torch": "torch==2.11.*"}, {"driver": "550.54", **H100}),
    Changed("a torch that nobody knows yet is asked for", BARE, {**ONE_TORCH, "torch": "torch==2.99.*"}, {"driver": "580.82", **P100}),
    Changed("two GPUs, and one of them runs it", CU13, {}, {"driver": "580.82", "gpus": (*V100["gpus"], *H100["gpus"])}),
    Changed("a GPU that Triton does not know", CU12, {}, {"driver": "580.82", **P100, **torch("2.6.0+cu126", "12.6")}),
    Changed("the GPU is newer than the nvcc, for one torch with arch=native", CU12, {**NOTHING, **ONE_TORCH, "arch": "native"}, {"driver": "580.82", **B300, **kits("12.4")}),
    Changed("the nvcc itself says so, and no other may come", CU12, {**NOTHING, **ONE_TORCH}, {"driver": "580.82", **H100, **kits("12.8", archs=("75", "80"))}),
    Changed("neither torch nor the nvcc is for the GPU and the driver", CU13, NOTHING, {"driver": "550.54", **V100}),
    Changed("no nvcc where the driver is older than every torch", BARE, {"cuda-home": "/opt/cuda"}, {"driver": "418.67", **V100}),
    Changed("the driver does not run the torch that is asked for, and need not", BARE, {"torch": "torch==2.8.*", **NOTHING}, {"driver": "470.57", **V100, **kits("12.4")}),
    Changed("the driver does not run the nvcc of a cluster, whose g++ is too new", CU12, NOTHING, {"driver": "550.54", **H100, **system("rocky 9.5", modules=True), **kits("13.0"), **gxx("15.2.0")}),
    Changed("torch is installed for the build on aarch64", "aarch64-gh200", {**ONE_TORCH, "torch": "torch==2.6.*"}, {"torches": (), **B300}),
    # How a toolkit is installed.
    Changed("no nvcc on a system that is not known", CU12, NOTHING, {**system("exherbo 1", root=False), **kits()}),
    Changed("no nvcc on Arch, where a folder was named that has none", CU13, {"cuda-home": "/opt/cuda"}, {**system("arch", root=False), **kits()}),
    Changed("no nvcc on Arch, for another", CU12, {**NOTHING, **ONE_TORCH}, {**system("arch", root=True), **kits()}),
    Changed("no nvcc on Manjaro, for an older driver", CU12, NOTHING, {"driver": "550.54", **system("manjaro"), **kits()}),
    Changed("no nvcc on openSUSE", CU12, NOTHING, {**system("opensuse-leap 15.6", root=False), **kits()}),
    Changed("no nvcc on Fedora", CU13, {"cuda-home": "/opt/cuda"}, {**system("fedora 42", root=False), **kits()}),
    Changed("no nvcc on CentOS 7", CU11, NOTHING, {**system("centos 7", root=True), **kits()}),
    Changed("no nvcc on CentOS 8", CU12, NOTHING, {**system("centos 8"), **kits()}),
    Changed("no nvcc on a cluster with modules", CU12, NOTHING, {**system("rocky 9.5", modules=True), **kits()}),
    Changed("no nvcc with pixi", CU12, NOTHING, {**system("ubuntu 24.04", Manager.PIXI), **kits()}),
    Changed("no nvcc with pixi, for CUDA 13", CU13, {"cuda-home": "/opt/cuda", **ONE_TORCH}, {**system("ubuntu 24.04", Manager.PIXI), **kits()}),
    Changed("no nvcc with conda", CU12, {}, {**system("ubuntu 24.04", Manager.CONDA), **kits()}),
    Changed("an archive comes, or what pixi has", CU12, {}, {"driver": "550.54", **system("ubuntu 24.04", Manager.PIXI), **kits()}),
    Changed("no nvcc of a release that is not known", CU12, {"cuda-home": "/opt/cuda"}, {**system("ubuntu 24.04"), **torch("2.19.0+cu141", "14.1"), **kits()}),
    Changed("no nvcc of a release that is not known, with pixi", CU12, {"cuda-home": "/opt/cuda"}, {**system("", Manager.PIXI), **torch("2.19.0+cu141", "14.1"), **kits()}),
    Changed("the system's own nvcc is the one", CU11, NOTHING, {**system("debian 12", root=False), **kits()}),
    Changed("a Jetson whose CUDA is too old", "jetson-jetpack-5", {}, {**python("3.10"), "torches": {"tag": "cp310-cp310-linux_aarch64"}}),
    # How a g++ is.
    Changed("no g++ on Arch", CU13, ONE_TORCH, {**system("arch", root=False), **gxx()}),
    Changed("no g++ on Fedora", CU13, ONE_TORCH, {**system("fedora 99", root=True), **gxx()}),
    Changed("no g++ on a later Ubuntu", CU12, ONE_TORCH, {**system("ubuntu 99.04", root=False), **gxx()}),
    Changed("no g++ with pixi", CU12, ONE_TORCH, {**system("ubuntu 22.04", Manager.PIXI), **gxx()}),
    Changed("no g++ with conda", CU11, ONE_TORCH, {**system("ubuntu 22.04", Manager.CONDA), **gxx()}),
    Changed("no g++ on a cluster with modules", CU12, ONE_TORCH, {**system("rocky 9.5", modules=True), **gxx()}),
    Changed("no g++ where conda has none for the processor", CU13, ONE_TORCH, {"machine": {"arch": "ppc64le", "distribution": "rhel 9"}, **gxx()}),
    Changed("the g++ lacks its static library", CU13, ONE_TORCH, {**system("rocky 9.5", root=False), "compilers": {"libstdcxx_static": None}}),
    Changed("the g++ of a cluster lacks its static library", CU13, ONE_TORCH, {**system("rocky 9.5", modules=True), "compilers": {"libstdcxx_static": None}}),
    Changed("each g++ is too old and lacks its static library", CU13, ONE_TORCH, {**system("rocky 9.5"), **gxx("4.8.5", "8.5.0", libstdcxx_static=None)}),
    Changed("the nvcc is newer than the table, and there is no g++", CU12, ONE_TORCH, {**torch("2.19.0+cu141", "14.1"), **kits("14.1"), **gxx()}),
    Changed("another g++ is asked for", CU13, {"host-compiler": "/opt/gcc/bin/g++"}, {}),
    Changed("zig is taken", CU13, {}, {**gxx("17.1.0")}),
    # Which torch fits.
    Changed("conda's torch has no code for the GPU", CU12, {}, {"driver": "580.82", **P100, **system("ubuntu 22.04", Manager.CONDA), **torch("2.8.0", "12.9", installer="conda", archs=("75", "80", "90"))}),
    Changed("pixi's torch is for a newer CUDA than the driver", CU12, {}, {"driver": "550.54", **H100, **system("ubuntu 22.04", Manager.PIXI), **torch("2.11.0.post1", "13.0")}),
    Changed("a nightly torch is for a newer CUDA than the driver", CU12, {}, {"driver": "550.54", **H100, **torch("2.12.0.dev20260201+cu130", "13.0")}),
    Changed("a torch without a label is for a newer CUDA than the driver", CU12, {}, {"driver": "550.54", **H100, **torch("2.11.0", "13.0")}),
    Changed("a torch that was built here is for a newer CUDA than the driver", CU12, {}, {"driver": "550.54", **H100, **torch("2.11.0+mine", "13.0")}),
    Changed("an old driver, and no nvcc for its torch", CU12, NOTHING, {"driver": "470.57", **V100, **system("ubuntu 22.04", modules=True), **kits()}),
    Changed("an old driver, and a g++ that is newer", CU12, {}, {"driver": "470.57", **V100, **gxx("15.2.0")}),
    Changed("no torch for the driver with this Python", CU12, {}, {"driver": "470.57", **V100, **python("3.13")}),
    Changed("no torch with CUDA for this Python", "torch-cpu", {}, {**python("3.15")}),
    Changed("no torch for this Python and GPU", "torch-cpu", {}, {"driver": "470.57", **V100, **python("3.14")}),
    Changed("no torch for this glibc", "torch-cpu", {}, {"machine": {"libc_version": "2.5"}}),
    Changed("torch for uv alone", "torch-cpu", {}, {"driver": "580.82", **H100, "shell": Shell(manager=Manager.VENV, pip=False)}),
    Changed("no torch for this Python, whatever the driver", "torch-cpu", {}, {"driver": "580.82", **python("3.17"), "torches": {"tag": "cp317-cp317-linux_x86_64"}}),
    Changed("torch for a toolkit without the static runtime", "torch-cpu", NOTHING, {**kits("13.0", missing=("libcudart_static",))}),
    Changed("torch for a toolkit that no driver was seen to run", "torch-cpu", NOTHING, {**python("3.9"), "torches": {"tag": "cp39-cp39-linux_x86_64"}, **kits("13.0")}),
    Changed("torch of the version that is here, for the toolkit that is here", "torch-cpu", {**NOTHING, **ONE_TORCH}, {**torch("2.6.0+cpu", None), **kits("11.8"), **gxx("11.4.0")}),
    Changed("a vendor's torch, whose CUDA is too old for the GPU", CU12, NOTHING, {"driver": "570.124", **B300, **torch("2.6.0a0+ecf3bae40a.nv25.01", "12.4"), **kits("13.0")}),
    Changed("torch for aarch64", "aarch64-gh200", {}, {**torch("2.8.0+cpu", None, tag="cp311-cp311-linux_aarch64")}),
    # Which nvcc is taken of several, and why not the others.
    Changed("an nvcc that does not compile for what is asked for", CU12, {"arch": "10.0;12.0"}, {"driver": "580.82", **kits("12.4", "12.8")}),
    Changed("one of two knows the GPU, with its own list", CU12, {}, {"driver": "580.82", **H100, "toolkits": (*kits("12.4", archs=("75", "80"))["toolkits"], *kits("12.1", archs=("80", "90"))["toolkits"])}),
    Changed("what is asked for has letters and PTX", CU12, {"arch": "9.0a;8.0+PTX", "lineinfo": "true"}, {**kits("12.8", archs=("80", "90"))}),
    Changed("what is asked for is for all", CU12, {"arch": "all"}, {"driver": "580.82", **B300, **kits("12.4")}),
    Changed("what is asked for is this machine's GPU", CU12, {"arch": "native"}, {"driver": "580.82", **B300, **kits("12.4")}),
    Changed("no driver was seen that runs the newer nvcc", CU12, NOTHING, {**kits("13.0", "12.1")}),
    Changed("the archives are asked for", CU12, {"cuda-home": "redist"}, {"driver": "580.82"}),
    Changed("the archives are asked for, and not to be downloaded", CU12, {"cuda-home": "redist", **NOTHING}, {}),
    Changed("the package index's nvcc is asked for", CU13, {"cuda-home": "pypi"}, {}),
    Changed("the package index's nvcc is asked for with CUDA 12", CU12, {"cuda-home": "pypi", **ONE_TORCH}, {}),
    Changed("another folder is asked for", CU12, {"cuda-home": "/opt/cuda"}, {}),
    Changed("nothing may be fetched, and the archives are to come from a folder", CU12, {"cuda-mirror": "/media/usb"}, {**kits("11.7")}),
    Changed("nothing may be fetched", CU12, {"offline": "true"}, {**kits("11.7")}),
    Changed("nothing may be fetched, and what is here is second to an archive", CU12, {"offline": "true"}, {**kits("11.7"), **gxx("11.4.0"), "fetched": ("mamba_ssm-2.3.2.post1.tar.gz",)}),
    Changed("what is here is second to an archive that is to come from a folder", CU12, {"cuda-mirror": "/media/usb"}, {**kits("11.7"), **gxx("11.4.0")}),
    Changed("two toolkits are too old", CU12, NOTHING, kits("10.1", "11.4")),
    Changed("no nvcc for a torch whose own is too old", CU11, {**NOTHING, **ONE_TORCH}, {**torch("1.12.1+cu113", "11.3", tag="cp310-cp310-linux_x86_64"), **kits()}),
    Changed("no nvcc for a project of which nobody knows what it needs", CU12, {"upstream": "self", "abi": "stable", **NOTHING}, kits()),
    Changed("the GPUs are named with letters and PTX, and of two one knows them", CU12, {"arch": "9.0a+PTX;10.0f"}, kits("12.4", "12.8")),
    Changed("two toolkits lack the static runtime", CU12, NOTHING, {**kits("12.8", "12.4", missing=("libcudart_static",))}),
    Changed("the nvcc takes no g++ that is here", CU12, {}, {"driver": "580.82", **kits("12.1", "12.8"), **gxx("14.2.0", target="x86_64-linux-gnu")}),
    # For which GPUs, by how many compilers, and with which cache.
    Changed("the nvcc is too old for the project, and its archive comes", CU11, {}, {**kits("11.4")}),
    Changed("GPUs with letters", CU13, {"arch": "10.0f;12.0a"}, {}),
    Changed("one GPU of a family", CU12, {"arch": "12.1"}, {**kits("12.9")}),
    Changed("compressed for speed", CU12, {"compress": "speed"}, {}),
    Changed("not compressed", CU13, {"compress": "none"}, {}),
    Changed("as nvcc compresses", CU13, {"compress": "default"}, {}),
    Changed("compressed by an nvcc that cannot", CU11, {"compress": "size"}, {}),
    Changed("many cores and little memory", CU13, {"arch": "9.0"}, {"machine": {"cores": 32, "memory_available": 40_000_000_000}}),
    Changed("memory that is not known", CU13, {"arch": "9.0"}, {"machine": {"cores": 32, "memory_available": 0}}),
    Changed("a ccache that does not start", CU13, {}, {"compiler_caches": (CompilerCache(CacheProgram.CCACHE, "/usr/bin/ccache", problem="it does not start"),)}),
    Changed("a cache that is asked for and not there", CU13, {"cache": "ccache"}, {}),
    Changed("sccache is asked for, and too old", CU13, {"cache": "sccache"}, {"compiler_caches": (CompilerCache(CacheProgram.SCCACHE, "/usr/bin/sccache", "0.3.0"),)}),
    Changed("the first of two caches is slow", CU13, {}, {"compiler_caches": (CompilerCache(CacheProgram.SCCACHE, "/usr/bin/sccache", "0.16.0"), CompilerCache(CacheProgram.CCACHE, "/usr/bin/ccache", "4.9"))}),
    Changed("as many compilers as were asked for, and no more, fit", CU13, {"jobs": "6", "memory": "8G", "arch": "9.0"}, {}),
    Changed("more compilers are asked for than fit", CU13, {"jobs": "7", "memory": "8G", "arch": "9.0"}, {}),
    Changed("one core", CU13, {}, {"machine": {"cores": 1, "memory_available": 3_000_000_000}}),
    Changed("just room enough on the disk", CU13, {}, {"machine": {"disk_free": 2_000_000_000}}),
    Changed("torch's headers are C++20", CU13, ONE_TORCH, {"torches": {"cxx_standard": 20}, **gxx("9.4.0")}),
    # Which version, with what, for whom.
    Changed("torch is older than every version is for", CU12, ONE_TORCH, {**torch("1.12.1+cu116", "11.6"), **kits("11.7"), **gxx("9.4.0")}, shown="whole"),
    Changed("a version for a newer torch", CU11, {"upstream": "mamba-ssm", "upstream-version": "2.3.2.post1", **ONE_TORCH}, {}),
    Changed("a version without a partner here", "companion", {}, {**torch("2.1.2+cu118", "11.8")}),
    Changed("a partner of the wrong version is installed", CU13, {}, {"torches": {"packages": (Package("causal-conv1d", "1.2.0"),)}}),
    Changed("packages that go with another torch", CU12, ONE_TORCH, {"torches": {"packages": (Package("transformers", "4.30.0"), Package("numpy", "2.1.0"), Package("triton", "3.0.0rc1"))}}),
    Changed("a companion of what goes with none", CU13, {"upstream": "self", "with-causal-conv1d": "true"}, {}),
    Changed("the project that holds the backend", CU13, {"upstream": "self"}, {}),
    Changed("the project that holds the backend, for everyone", CU13, {"upstream": "self", "abi": "stable"}, {}),
    Changed("for everyone with conda's Python of no GIL", "free-threaded", {"abi": "stable"}, {"torches": {"installer": "conda"}}),
    Changed("a label, and a variant's", CU13, {"variant": "auto", "local-version": "auto", "distribution-name": "mamba-ssm"}, {}),
    Changed("an old version without the fixes", CU13, {"upstream-version": "2.2.4", "fixes": "false"}, {}),
    Changed("an old version where no torch is known", BARE, {"upstream-version": "2.2.4"}, {}),
    Changed("the metadata of a project on a Mac", "macos", {"upstream": "self"}, {}),
    Changed("AMD's GPU, in the project that holds the backend", "torch-rocm", {"upstream": "self"}, {}),
    Changed("AMD's driver beside NVIDIA's", BARE, {}, {"amd_driver": True, "driver": "580.82"}),
    Changed("AMD's driver and a torch for NVIDIA's", CU13, {}, {"amd_driver": True}),
    Changed("AMD's driver alone", BARE, {}, {"amd_driver": True}),
    Changed("a variable that is very long", CU13, {}, {"polluted": (Polluted("CPATH", "/opt/" + "x" * 55), Polluted("LD_PRELOAD", "/opt/" + "y" * 56), Polluted("LIBRARY_PATH", "/opt/z:" * 12))}),
    # Which torch is taken.
    Changed("a torch that is here is what is asked for", CU13, {"torch": "torch==2.11.*"}, {}),
    Changed("a nightly torch is what is asked for", "nightly-torch", {"torch": "torch>=2.12"}, {}),
    Changed("a torch that cannot be read is not what is asked for", CU13, {"torch": "torch==2.6.*"}, {"torches": {"version": "", "problem": "its version cannot be read"}}),
    Changed("the Python is newer than every torch", "torch-cpu", {}, {**python("3.17"), "torches": {"tag": "cp317-cp317-linux_x86_64"}}),
    Changed("the Python is newer than every torch, and none is here", BARE, ONE_TORCH, {**python("3.17")}),
    Changed("the newest torch that this Python has", BARE, ONE_TORCH, {**python("3.9")}),
    Changed("a ROCm build whose version cannot be read", "torch-rocm", {}, {"torches": {"version": ""}}),
    # Changed source trees.
    Changed("a tree that is a release", "fork", {}, {"trees": {"sha256": tables.load_tables().versions_of("mamba-ssm")[-1].tree_sha256[0]}}),
    Changed("a tree that is trusted", "fork", {"allow-unverified": "true"}, {}),
    Changed("a tree of another project than is asked for", "fork", {"upstream": "causal-conv1d"}, {}),
    Changed("a tree that is like no release", "fork", {}, {"trees": {"name": "other_scan", "version": "0.1", "files": (("csrc/a.cu", "0123456789"), ("setup.py", "1234567890"))}}, shown="whole"),
    Changed("a tree that is like no release, and does not say what it is", "fork", {}, {"trees": {"name": "", "version": "", "files": (("csrc/a.cu", "0123456789"),)}}, shown="whole"),
    Changed("a tree without CUDA sources", "fork", {}, {"trees": {"files": (("mamba_ssm/__init__.py", "0123456789"),)}}),
    Changed("a tree that is older than every release", "fork", {}, {"trees": {"version": "0.9"}}),
    Changed("a tree of which four files are damaged", "fork-damaged", {}, {"trees": {"faults": tuple(Fault(file, "ends inside a line") for file in ("csrc/selective_scan/reverse_scan.cuh", "setup.py", "csrc/selective_scan/gone.cuh", "csrc/new.cpp", "README.md"))}}),
    Changed("a tree that is damaged and trusted", "fork-damaged", {"allow-unverified": "true"}, {}),
    Changed("a tree with a damaged file that nothing needs", "fork", {}, {"trees": {"faults": (Fault("benchmarks/benchmark_generation_mamba_simple.py", "it does not end"),)}}),
    Changed("a tree without packages", "fork", {}, {"trees": {"packages": (), "imports": ()}}),
    Changed("a tree with a name of its own", "fork", {}, {"trees": {"name": "vision-mamba", "version": "1.0.1"}}, shown="brief"),
    # What it is linked against.
    Changed("conda's sysroot, as old as is promised", CU13, {"sysroot": "conda"}, {"sysroots": (Sysroot(SysrootProvider.CONDA, "/conda/sysroot", "CONDA_PREFIX", "2.17", origin=Origin.CONDA),)}),
    Changed("this machine's glibc is old enough", CU13, {}, {"machine": {"libc_version": "2.17"}}),
    Changed("a torch that needs an old glibc", CU13, {"glibc": "2.28"}, {"torches": {"glibc": "2.9", "glibcxx": "3.4.9", "cxxabi": "1.3.5"}, "machine": {"libc_version": "2.28"}}),
    Changed("without repair, for one torch", CU13, {"repair": "false", **ONE_TORCH}, {}),
    Changed("this machine's glibc, which is as old as is promised", CU13, {"sysroot": "host"}, {"machine": {"libc_version": "2.17"}}),
    Changed("the newest glibc that CUDA's headers go with", "local-build-glibc-2.42", {}, {"machine": {"libc_version": "2.40"}}),
    Changed("conda's compiler without conda's sysroot", CU13, {}, {"machine": {"libc_version": "2.17"}, "compilers": {"target": "x86_64-conda-linux-gnu"}, "sysroots": (Sysroot(SysrootProvider.ZIG, "/cache/zig", "the cache", "2.17", origin=Origin.CACHE),)}),
    Changed("conda's compiler with conda's sysroot", CU13, {}, {"machine": {"libc_version": "2.17"}, "compilers": {"target": "x86_64-conda-linux-gnu"}, "sysroots": (Sysroot(SysrootProvider.CONDA, "/conda/sysroot", "CONDA_PREFIX", "2.17", origin=Origin.CONDA),)}),
    Changed("zig where it was not tried", CU13, {"host-compiler": "zig"}, {"machine": {"arch": "aarch64"}}),
    Changed("zig and a sysroot of one's own", CU13, {"host-compiler": "zig", "sysroot": "/srv/old"}, {}),
    Changed("zig and its sysroot", CU13, {"host-compiler": "zig", "sysroot": "zig"}, {}),
    # The report without -v.
    Changed("in brief", "h100-ubuntu24.04", shown="brief"),
    Changed("in brief, for one torch", CU13, {**ONE_TORCH, "arch": "9.0a;10.0f;8.0+PTX"}, shown="brief"),
    Changed("in brief, with an nvcc to download", CU12, {}, kits(), shown="brief"),
    Changed("in brief, with one in the cache", CU12, {}, {**kits(), "fetched": tuple(item.name for found in tables.load_tables().redist("x86_64") if found.release == "12.9.1" for item in found.archives)}, shown="brief"),
    Changed("in brief, with one of the package index", CU13, {}, kits(), shown="brief"),
    Changed("in brief, with zig", CU13, {}, gxx(), shown="brief"),
    Changed("in brief, with two notes left", CU13, {"repair": "false"}, {"machine": {"disk_free": 1}, "torches": {"packages": (Package("causal-conv1d", "1.2.0"),)}}, shown="brief"),
    Changed("in brief, with room for two notes", CU13, {"repair": "false"}, {"machine": {"disk_free": 1}}, shown="brief"),
    Changed("in brief, of a fork", "fork", shown="brief"),
    Changed("in brief, with more notes than there is room for", "polluted", {"repair": "false"}, {**kits("13.0", "13.2"), "machine": {"disk_free": 1}, "torches": {"packages": (Package("causal-conv1d", "1.2.0"), Package("mamba-ssm", "2.2.2"))}}, shown="brief"),
)  # fmt: skip
