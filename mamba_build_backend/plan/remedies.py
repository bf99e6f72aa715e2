"""What to type: commands that put right what a machine lacks, each fitted to it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence

from ..core.facts import Machine
from ..core.projects import SELF
from ..tables import Archive, RedistHost, Tables, TorchRow, minor


def install_toolkit(cuda: str, machine: Machine, tables: Tables) -> Iterator[str]:
    """Ways that exist to install a toolkit of this release, and of no other."""
    row = tables.cuda_row(cuda)
    if row.version != cuda:  # a release that the table does not know, or does not know yet
        yield f"conda install -c conda-forge cuda-toolkit={cuda}"
    else:
        if row.conda:
            yield row.conda
        if machine.distribution in row.distributions:
            yield "apt-get install nvidia-cuda-toolkit   (the distribution's own is this release)"
        yield f"apt-get install {row.apt}   (from NVIDIA's repository for your distribution)"
    if row.index_nvcc:
        yield "-C cuda-home=pypi   (nvcc from the package index; the build does so by itself where none is found)"
    yield "-C cuda-home=/path/to/cuda   (one that is already here)"


def fetch_archives(archives: Sequence[Archive], host: RedistHost, folder: str) -> Iterator[str]:
    """How NVIDIA's archives come to where there is no internet; ``folder`` is where they are looked for already."""
    addresses = " ".join(f"{host.address}/{item.path}" for item in archives)
    into, there = (folder, "") if folder else ("cuda-archives", ", then -C cuda-mirror=/path/to/cuda-archives")
    size = f"{sum(item.bytes for item in archives) / 1e6:.0f} MB"
    command = f"curl -fL --create-dirs --output-dir {shlex.quote(into)} --remote-name-all {addresses}"
    yield f"{command}   (where there is internet, {size}{there})"


def other_torch(release: str, cuda: str, tables: Tables, *, same: bool, note: str = "") -> str:
    """Install a build of torch for another CUDA; ``same`` keeps its version, else the minor version is meant."""
    pin = release.partition("+")[0] if same else f"{minor(release)}.*"
    because = note or f"a torch for CUDA {cuda}"
    if tables.torch_row(minor(release)).cuda == cuda:
        return f"python -m pip install --force-reinstall 'torch=={pin}'   ({because})"
    # The package index has one build of each version; uv knows where PyTorch publishes the others.
    backend = "cu" + cuda.replace(".", "")
    return f"uv pip install --reinstall 'torch=={pin}' --torch-backend={backend}   ({because})"


def torch_for(
    fits: Callable[[str], bool], machine: Machine, tables: Tables, *, keep: str = "", note: str = ""
) -> Iterator[str]:
    """Commands that install a torch whose CUDA ``fits``: the one that is here in another build, and the newest one."""

    def way(release: str, row: TorchRow, *, same: bool) -> Iterator[str]:
        builds = [build for build in row.builds if fits(build)]
        if builds:
            yield other_torch(release, builds[-1], tables, same=same, note=note.format(cuda=builds[-1]))

    if keep:
        yield from way(keep, tables.torch_row(minor(keep)), same=keep.count(".") > 1)
    for row in reversed(tables.torch):
        if dotted_python(machine) in row.python and not (keep and row.version == minor(keep)):
            ways = list(way(row.version, row, same=False))
            if ways:
                yield ways[0]
                return


def build_for_rocm(upstream: str) -> str:
    """The way of a project's own build, which knows AMD's GPUs."""
    if upstream == SELF:
        return 'build-backend = "setuptools.build_meta"   (under [build-system] in pyproject.toml: the project\'s own build)'
    command = f"python -m pip install --no-build-isolation --no-binary {upstream} {upstream}"
    return f"{command}   (upstream's own build for ROCm; see AMD cards in its README)"


def dotted_python(machine: Machine) -> str:
    """``3.11`` of ``cp311``; of a free-threaded one, ``cp313t``, too."""
    return f"{machine.python_tag[2]}.{machine.python_tag[3:].rstrip('t')}"


def install_compiler(least: int, most: int, banned: tuple[int, ...], machine: Machine, tables: Tables) -> Iterator[str]:
    """Ways to a g++ from ``least`` to ``most`` that is not ``banned``: the distribution's, and conda's."""
    wanted = [major for major in range(most, least - 1, -1) if major not in banned]
    row = tables.distribution_row(machine.distribution)
    own = [major for major in wanted if row is not None and major in row.gxx]
    if row is not None and own:
        yield row.install.format(major=own[0])
    elif row is None and wanted:
        yield f"apt-get install g++-{wanted[0]}   (or your distribution's package of g++ {wanted[-1]} to {wanted[0]})"
    platform = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}.get(machine.arch, "linux-64")
    if wanted:
        yield f"conda install -c conda-forge gxx_{platform}={wanted[0]} sysroot_{platform}=2.17"
    yield "-C host-compiler=/path/to/g++   (one that is not on PATH)"
