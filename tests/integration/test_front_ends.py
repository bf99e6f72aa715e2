"""One of nvcc's front ends for several, with the real nvcc: the code that it makes, and the host's part."""

import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from support import copy_tiny, nvcc_home, only_wheel, pip_wheel

from mamba_build_backend.core.facts import Toolkit
from mamba_build_backend.toolchain.probe_options import takes_source_path
from mamba_build_backend.toolchain.shims import nvcc_steps
from mamba_build_backend.toolchain.shims.nvcc_options import VALUED
from mamba_build_backend.toolchain.shims.protocol import (
    NVCC_STEPS_SHIM,
    PYTHON,
    STEP_FILE,
    BuildStep,
    DerivedPtx,
    SetupPy,
    ShimConfig,
    write,
)
from mamba_build_backend.toolchain.shims.ptx import compact
from mamba_build_backend.toolchain.toolkit import apply_toolkit

HEADER = """\
#include <cuda_bf16.h>
#include <cuda_fp16.h>
extern __shared__ char shared_memory[];
__device__ int seen_by_all = 3;
template<int n, typename T> __global__ void kernel(T *x) {
    float *sums = reinterpret_cast<float *>(shared_memory);
    float sum = seen_by_all;
    for (int i = 0; i < n; i++) sum += float(x[i * blockDim.x + threadIdx.x]);
    sums[threadIdx.x] = sum;
    __syncthreads();
    x[threadIdx.x] = T(sums[threadIdx.x ^ 1]);
}
template<int n, typename T> void launch(T *x) { kernel<n, T><<<1, 32, 128>>>(x); }
template<typename T> void all(T *x) { launch<4, T>(x); launch<7, T>(x); }
"""
SOURCE = """\
#include "kernels.cuh"
template void launch<4, __half>(__half *x);
template void launch<4, __nv_bfloat16>(__nv_bfloat16 *x);
template void all<float>(float *x);
"""
DERIVED = DerivedPtx(("kernels_joined*.cu",), "compute_80", ("compute_75",), threads=2)
SETUP_PY = SetupPy("setup.py", (), (), (), (), (), None, None, ())
CODES = ["-gencode=arch=compute_80,code=[sm_80,sm_90,compute_80]", "-gencode=arch=compute_75,code=sm_75"]


def variables(path, derived):
    """The environment of nvcc's steps in a build."""
    config = ShimConfig((), True, True, None, derived, False, (), "", (), ())
    write(BuildStep(SETUP_PY, config), str(path))
    return {STEP_FILE: str(path), PYTHON: sys.executable, NVCC_STEPS_SHIM: nvcc_steps.__file__}


@pytest.fixture
def compiled(tmp_path, gxx):
    """Compile the source with these options and orders; gives the kernels of each image, its PTX and the host part."""
    home = nvcc_home()
    view = apply_toolkit(Toolkit(str(home), "test"), tmp_path, tmp_path / "work", compact=True)
    (tmp_path / "kernels.cuh").write_text(HEADER)

    def compile_(source=SOURCE, order=None, options=()):
        (tmp_path / "kernels_joined.cu").write_text(source)
        (tmp_path / "tmp").mkdir(exist_ok=True)
        env = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), **variables(tmp_path / "step.json", order)}
        command = [view / "bin/nvcc", *CODES, *options, "-ccbin", gxx, "--compress-mode=none", "-frandom-seed=1"]
        done = subprocess.run(
            [*command, "-c", "kernels_joined.cu", "-o", "k.o"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return contents(tmp_path / "k.o")

    return compile_


def fat_binary(path: Path) -> bytes:
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".nv_fatbin")
        return section.data()


def ptx_texts(fat: bytes) -> list[str]:
    """The modules of PTX in a fat binary that is not compressed."""
    return [match[0].decode() for match in re.finditer(rb"\.version [^\0]*", fat)]


def test_nvidias_tools_write_all_gpu_code_by_default(tmp_path, gxx):
    """nvcc gives the same result in the build's view as in the toolkit, but not with gpu-code=compact."""
    home = nvcc_home()
    (tmp_path / "kernels.cuh").write_text(HEADER)
    (tmp_path / "kernels_joined.cu").write_text(SOURCE)
    env = {**os.environ, **variables(tmp_path / "step.json", DERIVED)}
    toolkit = Toolkit(str(home), "test")
    fat = {}
    for name, view in (
        ("plain", home),
        ("default", apply_toolkit(toolkit, tmp_path, tmp_path / "default")),
        ("compact", apply_toolkit(toolkit, tmp_path, tmp_path / "compact", compact=True)),
    ):
        command = [view / "bin/nvcc", *CODES, "-ccbin", gxx, "--compress-mode=none", "-frandom-seed=1"]
        subprocess.run([*command, "-c", "kernels_joined.cu", "-o", "k.o"], cwd=tmp_path, env=env, check=True)
        fat[name] = fat_binary(tmp_path / "k.o")
    assert len(ptx_texts(fat["plain"])) == 1
    assert fat["plain"].count(b"\x7fELF\x02\x01") == 3
    assert fat["default"] == fat["plain"]
    assert ptx_texts(fat["compact"]) == [compact(text) for text in ptx_texts(fat["plain"])]
    assert ptx_texts(fat["compact"]) != ptx_texts(fat["plain"])


def test_changed_gpu_code_recompiles_a_kept_build_folder(clean_env, tmp_path, torch_site, gxx):
    project = copy_tiny(tmp_path / "tiny")
    given = ("-C", "arch=8.0+PTX", "-C", "compress=none", "-C", "cache=off", "-C", f"build-dir={tmp_path / 'build'}")
    texts = {}
    for name in ("nvcc", "compact"):
        pip_wheel(project, tmp_path / name, clean_env, *given, "-C", f"gpu-code={name}")
        with zipfile.ZipFile(only_wheel(tmp_path / name)) as wheel:
            (extension,) = (item for item in wheel.namelist() if item.endswith(".so"))
            wheel.extract(extension, tmp_path / name)
        texts[name] = ptx_texts(fat_binary(tmp_path / name / extension))
    assert texts["nvcc"]
    assert texts["compact"] == [compact(text) for text in texts["nvcc"]] != texts["nvcc"]


def contents(path: Path):
    with path.open("rb") as file:
        sections = {item.name: item.data() for item in ELFFile(file).iter_sections()}
    fat = sections.pop(".nv_fatbin")
    places = [match.start() for match in re.finditer(rb"\x7fELF\x02\x01", fat)]
    images = [
        {
            item.name: item.data()
            for item in ELFFile(io.BytesIO(fat[place:after])).iter_sections()
            if item.name.startswith((".text.", ".nv.global"))
        }
        for place, after in zip(places, [*places[1:], len(fat)])
    ]
    ptx = sorted(re.findall(rb"\.entry (\w+)", fat))
    for name in (".symtab", ".strtab", ".shstrtab"):
        sections.pop(name)
    return images, ptx, sections


@pytest.mark.parametrize("options", [(), ("--threads", "4"), ("--split-compile", "2")])
def test_one_front_end_also_serves_turing(compiled, options):
    plain = compiled(options=options)
    spared = compiled(order=DERIVED, options=options)
    assert [len(image) for image in plain[0]] == [5, 5, 5], "four kernels and a variable, for three GPUs"
    for mine, theirs in zip(spared[0], plain[0]):
        assert mine.keys() == theirs.keys()
        different = {name for name in mine if mine[name] != theirs[name]}
        # In Turing's kernels, only the rounding to bfloat16 differs from its own front end. Later GPUs have no
        # difference.
        assert all("nv_bfloat16" in name for name in different)
    others = [mine == theirs for mine, theirs in zip(spared[0], plain[0])]
    assert sorted(others) == [False, True, True]
    assert spared[1] == plain[1]
    assert spared[2] == plain[2], "what the host registers and launches"


def test_turing_has_its_own_front_end_for_missing_instructions(compiled):
    source = SOURCE.replace(
        "template void all",
        """\
template<typename T> __global__ void newer(T *x) {
#if __CUDA_ARCH__ >= 800
    *x = __hfma(*x, *x, *x);
#else
    *x = T(7.f);
#endif
}
template __global__ void newer<__nv_bfloat16>(__nv_bfloat16 *x);
template void all""",
        1,
    )
    assert compiled(source, DERIVED) == compiled(source)


def test_nvcc_prints_an_error_once(compiled):
    with pytest.raises(AssertionError, match="undeclared_name"):
        compiled(
            SOURCE.replace("int seen", "int undeclared") + "template void all<undeclared_name>(undeclared_name *);",
            DERIVED,
        )


def test_cudafe_accepts_a_source_name():
    assert takes_source_path(nvcc_home() / "bin/nvcc", dict(os.environ))


def test_option_table_lists_every_option_with_a_value():
    """nvcc's help names an option, its value if it takes one, and its short spelling: ``--threads <number>   (-t)``."""
    said = subprocess.run([nvcc_home() / "bin/nvcc", "--help"], check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^(--[\w-]+)( +[^\s(-][^(]*?)? +\(?(--?[\w-]+)\)? *$", said, re.MULTILINE)
    assert len(rows) > 80
    valued = {name for spelling, value, short in rows if value.strip() for name in (spelling, short)}
    valued |= {"--dependency-output", "-MF"}  # the help does not list their values
    listed = {name for spelling, _, short in rows for name in (spelling, short)}
    assert valued <= set(VALUED)
    assert not listed - valued & set(VALUED)
