"""The wrappers in front of nvcc, g++, cicc and fatbinary."""

import math
import random
import signal
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import pytest
from support import ROOT

from mamba_build_backend import plan, tables
from mamba_build_backend.compile import build_step
from mamba_build_backend.compile._setup_py_child import regroup
from mamba_build_backend.compile.regroup_kernels import regrouping
from mamba_build_backend.core import settings
from mamba_build_backend.core.work import BuildContext
from mamba_build_backend.plan.nvcc import EnvironmentFlags
from mamba_build_backend.plan.types import NvccOptions
from mamba_build_backend.probe import recording
from mamba_build_backend.tables import KernelGroup
from mamba_build_backend.toolchain.shims import nvcc_steps
from mamba_build_backend.toolchain.shims.compiler import command
from mamba_build_backend.toolchain.shims.nvcc_steps import compact_files, derive
from mamba_build_backend.toolchain.shims.protocol import (
    STEP_FILE,
    BuildStep,
    DerivedPtx,
    SetupPy,
    SharedPasses,
    ShimConfig,
    write,
)
from mamba_build_backend.toolchain.shims.ptx import compact, retarget
from mamba_build_backend.toolchain.types import Toolchain

CONFIG = ShimConfig(
    build_folders=("/b/work",),
    source_path_option=True,
    seed_option=False,
    shared_passes=None,
    derived_ptx=None,
    one_architecture=False,
    cache_command=(),
    fixed_folder="",
    nvcc_prepend=(),
    nvcc_append=(),
)
SETUP_PY = SetupPy("/b/setup.py", (), (), (), (), (), None, None, ())
HERE = "/b/work/source/tree/build/temp"
SOURCE = "/b/work/source/tree/csrc/k.cu"


def test_build_paths_are_relative_to_the_folder_of_the_compiler():
    given = ["-I/b/work/torch-alone", "-I/b/worker", "-I/usr/include", "-c", SOURCE, "-o", f"{HERE}/k.o", "-DX=/b/work"]
    words = command("/b/work/toolchain/cuda/bin/nvcc", given, CONFIG, HERE)
    assert words == [
        *("../../../../toolchain/cuda/bin/nvcc", "-I../../../../torch-alone", "-I/b/worker", "-I/usr/include", "-c"),
        *("../../csrc/k.cu", "-o", "k.o", "-DX=/b/work", "-Xcudafe", "--orig_src_path_name=/source/tree/csrc/k.cu"),
    ]


def test_commands_that_compile_nothing_stay_unchanged():
    assert command("nvcc", ["--version"], CONFIG, HERE) == ["nvcc", "--version"]
    assert command("nvcc", ["-E", SOURCE], CONFIG, HERE) == ["nvcc", "-E", SOURCE]


def test_low_memory_compiles_one_architecture_at_a_time():
    given = ["--threads", "4", "--split-compile", "8", "-c", "/x/k.cu"]
    assert command("nvcc", given, CONFIG, HERE) == ["nvcc", *given]
    assert command("nvcc", given, replace(CONFIG, one_architecture=True), HERE) == ["nvcc", *given[2:]]


@pytest.mark.parametrize("name", ["x_fp32.cu", "x_bf16.cu"])
def test_file_with_one_front_end_gets_its_own_architectures(name):
    shared = SharedPasses(("*_fp32.cu",), ("-gencode=arch=compute_75,code=sm_80",))
    given = ["-gencode", "arch=compute_80,code=sm_80", "-gencode=arch=compute_75,code=sm_75", "-O3", "-c", f"/x/{name}"]
    words = command("nvcc", given, replace(CONFIG, shared_passes=shared), HERE)
    if name == "x_fp32.cu":
        assert words == ["nvcc", "-gencode=arch=compute_75,code=sm_80", "-O3", "-c", f"/x/{name}"]
    else:
        assert words == ["nvcc", *given]


def test_cache_comes_before_nvcc_with_short_dependency_options():
    config = replace(CONFIG, cache_command=("/usr/bin/ccache",), build_folders=())
    long = ["--generate-dependencies-with-compile", "--dependency-output", "k.o.d", "-c", "/x/k.cu"]
    assert command("nvcc", long, config, HERE) == ["/usr/bin/ccache", "nvcc", "-MD", "-MF", "k.o.d", "-c", "/x/k.cu"]
    assert command("nvcc", ["-c", "/x/k.cu"], config, HERE) == ["nvcc", "-c", "/x/k.cu"], "not safe without"
    words = command("g++", ["-MMD", "-MF", "a.d", "-c", "/x/a.cpp"], config, HERE)
    assert words == ["/usr/bin/ccache", "g++", "-MD", "-MF", "a.d", "-c", "/x/a.cpp"], "the system's headers, too"


def test_named_build_folder_gets_a_copy_of_the_source():
    config = replace(CONFIG, fixed_folder="/tmp/name", cache_command=("sccache",), seed_option=True)
    words = command("/nvcc", ["-MD", "-MF", f"{HERE}/k.d", "-c", SOURCE, "-ccbin", "/b/work/bin/g++"], config, HERE)
    assert words == [
        *("sccache", "/nvcc", "-I/tmp/name/work/source/tree/csrc", "-MD", "-MF", "/tmp/name/work/source/tree/build/temp/k.d"),
        *("-c", "/tmp/name/sources/source/tree/csrc/k.cu", "-ccbin", "/tmp/name/work/bin/g++", "-Xcudafe"),
        *("--orig_src_path_name=/source/tree/csrc/k.cu", "-frandom-seed=/source/tree/csrc/k.cu"),
        *("-Xcompiler", "-ffile-prefix-map=/tmp/name/sources=."),
    ]  # fmt: skip


GROUP = KernelGroup("ab", ("a.cu", "b.cu"), "k.cuh", "launch", "P &p", ("half", "float"), parts=(("4, 2", "8, 2"),))
HEADER = "template<int a, int b, typename T> void launch(P &p);\n launch<1, 2, T>(p); launch<4, 2, T>(p); launch<8, 2, T>(p);"


def test_alike_files_are_regrouped(tmp_path):
    groups = [regrouping(GROUP)]
    sources = [f"{tmp_path}/z.cpp", f"{tmp_path}/a.cu", f"{tmp_path}/b.cu", f"{tmp_path}/c.cu"]
    (tmp_path / "k.cuh").write_text(HEADER)
    # A file that is missing, or elsewhere: none is touched.
    assert regroup(sources[1::2], groups) == sources[1::2]
    assert regroup([*sources[:2], "/elsewhere/b.cu"], groups) == [*sources[:2], "/elsewhere/b.cu"]
    dealt = regroup(sources, groups)
    assert dealt == [f"{tmp_path}/{name}" for name in ("z.cpp", "ab.cu", "ab_1.cu", "c.cu")]
    lines = [
        f"template void launch<{first}, {last}>(P &p);" for first in ("4, 2", "8, 2") for last in ("half", "float")
    ]
    path = tmp_path / "ab.cu"
    text = path.read_text()
    assert text.splitlines() == [
        '#include "k.cuh"',
        *(f"extern {line}" for line in lines),
        '#include "a.cu"',
        '#include "b.cu"',
    ]
    assert (tmp_path / "ab_1.cu").read_text().splitlines() == ['#include "k.cuh"', *lines]
    before = path.stat().st_mtime_ns
    assert regroup(sources, groups) == dealt
    assert path.stat().st_mtime_ns == before, "ninja would compile it again"
    path.write_text("of an earlier release")
    regroup(sources, groups)
    assert path.read_text() == text


@pytest.mark.parametrize("header", [None, "", HEADER.replace("8, 2", "8, 4"), HEADER.replace("P &p", "P p")])
def test_files_with_another_header_are_only_joined(tmp_path, header):
    if header is not None:
        (tmp_path / "k.cuh").write_text(header)
    groups = [regrouping(GROUP)]
    assert regroup([f"{tmp_path}/b.cu", f"{tmp_path}/a.cu"], groups) == [f"{tmp_path}/ab.cu"]
    assert (tmp_path / "ab.cu").read_text() == '#include "a.cu"\n#include "b.cu"\n'


ENTRY = "\t// .globl\t{0}\n.visible .entry {0}(\n\t.param .u64 p\n)\n{{\n\tret;\n\n}}\n"


def test_ptx_kernels_are_sorted_and_lose_their_comments(tmp_path):
    head, end = "// nvcc\n.version 8.8\n.target sm_80\n.global .u32 g;\n\n", "\n// the end\n"
    text = head + ENTRY.format("k_half") + "\n" + ENTRY.format("k_bf16") + end
    path = tmp_path / "k.ptx"
    path.write_text(text)
    compact_files(["-64", f"--image3=kind=ptx,sm=80,file={path}", "--image3=kind=elf,sm=80,file=/no/such.cubin"])
    kernel = ".visible .entry {0}(\n.param .u64 p\n)\n{{\nret;\n}}\n"
    assert path.read_text() == "\n".join(
        [".version 8.8", ".target sm_80", ".global .u32 g;", kernel.format("k_bf16") + kernel.format("k_half")]
    )


def test_kernel_local_names_of_ptx_are_shortened():
    kernel = (
        ".entry {0}(\n\t.param .u64 {0}_param_0,\n\t.param .u64 {0}_param_1\n)\n{{\n\t.local .b8 __local_depot{1}[8];\n"
        '\tld.param.u64  %rd1, [{0}_param_1+8];\n$L__BB{1}_2:\n\tbra $L__BB{1}_2;\n\t.pragma "a  // b";\n}}\n'
    )
    lines = compact(kernel.format("k", 7) + kernel.format("ka", 12)).splitlines()
    assert lines[0] == ".entry k(" and lines[len(lines) // 2] == ".entry ka("
    assert lines[1 : len(lines) // 2] == lines[len(lines) // 2 + 1 :]
    assert [line for line in lines if "BB" in line or "depot" in line][:3] == [
        ".local .b8 __local_depot[8];",
        "$L__BB_2:",
        "bra $L__BB_2;",
    ]
    assert '\t.pragma "a  // b";' in lines


@pytest.mark.parametrize("between", [".func f()\n{\n}\n", ".global .u32 g;\n", "@@DWARF\n"])
def test_ptx_with_other_text_between_kernels_stays_unchanged(between):
    text = ".target sm_80\n" + ENTRY.format("b") + between + ENTRY.format("a")
    assert compact(text) == text


@pytest.mark.parametrize("text", ["", ".target sm_80\n", ENTRY.format("b")[:-3], ENTRY.format("b") * 2])
def test_unknown_ptx_stays_unchanged(text):
    assert compact(text) == text


KERNEL = """\
//
.version 9.0
.target sm_80
.address_size 64
	// .globl	k_bf16
.visible .entry k_bf16(
	.param .u64 k_bf16_param_0
)
{
	.reg .b16 	%rs<3>;
	mov.u32 	%r1, %tid.x;
	@%p1 bra 	$L__BB0_2;
	// begin inline asm
	{  cvt.rn.bf16.f32 %rs1, %f1;}

	// end inline asm
	// begin inline asm
	{  .reg .f32 r0;  .reg .pred p;  shfl.sync.down.b32 r0|p, %f1, 1, 31, -1;  @p add.f32 r0, r0, %f1;  mov.f32 %f2, r0;}
	// end inline asm
	{  .reg .u32 low, high;  mov.b64 {low, high}, %rd1;  mov.b64 %rd2, {high, low};}
	st.shared.v4.u16 	[%r450], {%rs1, %rs1, %rs1, %rs1};
$L__BB0_2:
	ret;
}
"""


def test_ptx_is_written_in_the_instructions_of_an_older_gpu():
    text = retarget(KERNEL, "75")
    assert "\n.target sm_75\n" in text
    block = text[text.index("{\n.reg .pred") : text.index("\n\n\t// end")]
    assert block.splitlines()[3:] == [
        "mov.b32 %bits, %f1;",
        "bfe.u32 %even, %bits, 16, 1;",
        "add.u32 %even, %even, 32767;",
        "add.u32 %bits, %bits, %even;",
        "shr.u32 %bits, %bits, 16;",
        "setp.nan.f32 %no_number, %f1, %f1;",
        "selp.b32 %bits, 32704, %bits, %no_number;",
        "cvt.u16.u32 %rs1, %bits;",
        "}",
    ]
    rest = text.replace(block, "\t{  cvt.rn.bf16.f32 %rs1, %f1;}")
    assert rest == KERNEL.replace("sm_80", "sm_75")
    # As nvcc may write it without the braces.
    assert retarget(KERNEL.replace("{  cvt", "cvt").replace("%f1;}\n\n", "%f1;\n\n"), "75") == text


def bits(number: float) -> int:
    return struct.unpack("<I", struct.pack("<f", number))[0]


def number(word: int) -> float:
    return struct.unpack("<f", struct.pack("<I", word))[0]


def run(block: str, word: int) -> int:
    """What these instructions make of the bits of a float32 (PTX ISA)."""
    known: dict[str, int] = {"%f1": word}
    for line in block.splitlines():
        opcode, _, rest = line.rstrip(";").partition(" ")
        if opcode.startswith((".", "{", "}")):
            continue
        to, *words = rest.split(", ")
        given = [known[word] if word.startswith("%") else int(word) for word in words]
        known[to] = {
            "mov.b32": lambda a: a,
            "bfe.u32": lambda a, start, length: (a >> start) & ((1 << length) - 1),
            "add.u32": lambda a, b: (a + b) & 0xFFFFFFFF,
            "shr.u32": lambda a, b: a >> b,
            "setp.nan.f32": lambda a, b: int(math.isnan(number(a)) or math.isnan(number(b))),
            "selp.b32": lambda a, b, chosen: a if chosen else b,
            "cvt.u16.u32": lambda a: a & 0xFFFF,
        }[opcode](*given)
    return known["%rs1"]


def test_bfloat16_is_rounded_to_nearest_even():
    text = retarget(KERNEL, "75")
    block = text[text.index("{\n.reg .pred") : text.index("\n\n\t// end")]
    source = random.Random(1)
    words = [source.getrandbits(32) for _ in range(20_000)]
    words += [
        high << 16 | low
        for high in (0, 1, 0x7F, 0x80, 0x3F80, 0x7F7F, 0x8000, 0xFF7F)
        for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)
    ]
    words += [0x7F800000, 0xFF800000, bits(0.1), bits(-1e-42)]
    for word in words:
        value, made = number(word), run(block, word)
        if math.isnan(value):
            assert made == 0x7FC0
            continue
        down, up = word >> 16, (word >> 16) + 1
        if word & 0xFFFF == 0:
            assert made == down
            continue
        # Values above the largest count as if there were no infinity.
        far = [abs(Fraction(value) - Fraction(exact(choice))) for choice in (down, up)]
        nearest = min((down, up), key=lambda choice: (far[choice - down], choice & 1))
        assert made == nearest, hex(word)


def exact(high: int) -> Fraction:
    word = high << 16
    if word & 0x7F800000 == 0x7F800000:
        return Fraction(2) ** 128 * (-1 if word >> 31 else 1)
    return Fraction(number(word))


@pytest.mark.parametrize(
    "later",
    [
        "fma.rn.bf16 \t%rs1, %rs1, %rs2, %rs1;",
        "@%p1 cvt.rn.bf16.f32 \t%rs1, %f1;",
        "cvt.rn.bf16x2.f32 \t%r1, %f1, %f2;",
        "cp.async.ca.shared.global \t[%r1], [%rd1], 16;",
        "@!%p1 redux.sync.add.s32 \t%r1, %r2, -1;",
        "mov.u32 %r1, 1; max.NaN.f32 %f1, %f2, %f3;",
        "{ ld.global.L2::128B.u32 %r1, [%rd1]; }",
        "{ .reg .pred p; mbarrier.init.shared.b64 [%r1], 1; }",
        "call.uni f, (%r1);",
        "@p tanh.approx.f32 %f1, %f2;",
        "cvt.rn.f16x2.f32 %r1, %f1, %f2;",
        "cvt.rn.satfinite.e4m3x2.f32 %rs1, %f1, %f2;",
        "max.f16x2 %r1, %r2, %r3;",
        "min.ftz.f16 %rs1, %rs2, %rs3;",
        "add.rn.f32x2 %rd1, %rd2, %rd3;",
        "atom.global.add.v2.f32 {%f1, %f2}, [%rd1], {%f3, %f4};",
        "st.async.shared::cluster.u32 [%r1], %r2, [%r3];",
    ],
)
def test_ptx_with_other_new_instructions_is_not_rewritten(later):
    with pytest.raises(ValueError, match="not of Turing"):
        retarget(KERNEL.replace("\tret;", f"\t{later}\n\tret;"), "75")


@pytest.mark.parametrize("target", ["", ".target sm_80, debug\n", ".target sm_80\n.target sm_80\n"])
def test_unknown_module_is_not_rewritten(target):
    with pytest.raises(ValueError, match="no module"):
        retarget(KERNEL.replace(".target sm_80\n", target), "75")


@pytest.mark.parametrize(("name", "short"), [("%f1", "f1"), ("%p1", "p1"), ("%rd12", "rd12"), ("%tid.x", "%tid.x")])
def test_registers_lose_their_percent_sign_if_names_stay_unique(name, short):
    assert f"u64 {short}," in compact(KERNEL.replace("mov.u32 \t%r1, %tid.x", f"mov.u64 {name}, %r450"))
    # The registers would hide the program's own global names f1, r1 and rs1.
    for other in ("f1", "r1", "rs1"):
        text = KERNEL.replace("\t// .globl", f".global .u32 {other};\n\t// .globl")
        assert "%rs1" in compact(text)
        assert "%tid" in compact(text)


CICC = r"""
import os, sys, time
given = dict(zip(sys.argv[1:], sys.argv[2:]))
arch = given["-arch"][-2:]
text = open(sys.argv[-1]).read()
if f"fail {arch}" in text:
    sys.exit(3)
if arch == "80":
    time.sleep(float(os.environ.get("SLEEP", "0")))
with open(given["-o"], "w") as file:
    file.write(f".version 9.0\n.target sm_{arch}\n.visible .entry k()\n{{\n{text}ret;\n}}\n// by {arch}, threads {given.get('-split-compile')}\n")
with open(given["--stub_file_name"], "w") as file:
    file.write(f'# 1 "{os.path.basename(given["--stub_file_name"])}"\nregister k\n')
"""


@pytest.fixture
def front_ends(tmp_path, monkeypatch):
    """Calls cicc as nvcc does, each front end with files of its own; returns its status and PTX."""
    order = DerivedPtx(("k*.cu",), "compute_80", ("compute_75",), threads=2)
    monkeypatch.setattr(nvcc_steps, "_START_TIMEOUT", 0.5)
    real = tmp_path / "cicc"
    real.write_text(f"#!{sys.executable}\n{CICC}")
    real.chmod(0o755)

    def call(arch, text="", source="k_joined.cu"):
        out, preprocessed = tmp_path / f"{arch}.ptx", tmp_path / f"{arch}.cpp1.ii"
        preprocessed.write_text(text)
        arguments = ["--orig_src_file_name", source, "-arch", f"compute_{arch}", "-m64"]
        arguments += ["--module_id_file_name", str(tmp_path / "k.module_id")]
        arguments += ["--stub_file_name", str(tmp_path / f"{arch}.stub.c"), "-o", str(out), str(preprocessed)]
        with suppress(ValueError):
            return derive(str(real), arguments, order), out
        return "as it is", out

    return call


def test_front_end_reuses_equal_output_of_another(front_ends, tmp_path):
    assert front_ends("80", "cvt.rn.bf16.f32 %rs1, %f1;\n")[0] == 0
    status, out = front_ends("75")
    assert status == 0
    text = out.read_text()
    assert "threads 2" in text
    assert text.splitlines()[:2] == [".version 9.0", ".target sm_75"]
    assert "by 80" in text
    assert "cvt.rn" not in text
    assert "cvt.u16.u32 %rs1, %bits;" in text
    assert (tmp_path / "75.stub.c").read_text() == '# 1 "75.stub.c"\nregister k\n'


def test_front_end_waits_for_the_other(front_ends, monkeypatch):
    monkeypatch.setenv("SLEEP", "0.7")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(front_ends, "80")
        status, out = pool.submit(front_ends, "75").result()
    assert (first.result()[0], status) == (0, 0)
    assert "by 80" in out.read_text()


@pytest.mark.parametrize(
    ("before", "text", "source"),
    [
        ((), "", "k_joined.cu"),  # the other never begins
        (("80",), "fma.rn.bf16 %rs1, %rs1, %rs1, %rs1;\n", "k_joined.cu"),
        (("80",), "", "other.cu"),
        (("80",), "// fail 80\n", "k_joined.cu"),
    ],
)
def test_front_end_runs_unchanged_without_reusable_output(front_ends, tmp_path, before, text, source):
    for arch in before:
        status, _ = front_ends(arch, text, source)
        if "fail 80" in text:
            assert status == 3, "nvcc has to know"
            # Its process is gone, and left nothing.
            (tmp_path / "k.module_id.shared" / "process").write_text("999999999")
    assert front_ends("75", text, source)[0] in (None, "as it is")


def test_a_front_end_that_is_killed_ends_as_killed(tmp_path):
    """The build retries a compiler that the OOM killer stopped."""
    cicc = tmp_path / "cicc"
    cicc.write_text("#!/bin/sh\nkill -KILL $$\n")
    cicc.chmod(0o755)
    order = DerivedPtx(("k*.cu",), "compute_80", ("compute_75",), threads=2)
    step = BuildStep(SETUP_PY, replace(CONFIG, derived_ptx=order))
    write(step, str(tmp_path / "step.json"))
    arguments = ["--orig_src_file_name", "k_joined.cu", "-arch", "compute_80"]
    arguments += ["--module_id_file_name", str(tmp_path / "k.id")]
    command = [sys.executable, "-I", "-S", nvcc_steps.__file__, cicc, *arguments]
    done = subprocess.run(command, env={STEP_FILE: str(tmp_path / "step.json")}, check=False)
    assert done.returncode == -signal.SIGKILL


def planned(chosen):
    _, machine = recording.load(ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json", {})
    return plan.decide(settings.load_settings(chosen, {}, {}), machine, tables.load_tables())


@pytest.mark.parametrize("upstream", ["mamba-ssm", "self"])
def test_ptx_is_rewritten_only_on_request(upstream):
    assert not planned({"upstream": upstream}).gpu_code.value.compact
    assert planned({"upstream": upstream, "gpu-code": "compact"}).gpu_code.value.compact


@pytest.mark.parametrize(
    ("arch", "passes"),
    [
        ("all", []),  # every row of the table is already correct
        ("7.5;9.0", []),
        ("9.0+PTX;8.0;10.0", [("80", "80 90 100 PTX")]),
        ("9.0;7.5;8.6", [("86", "86 90"), ("75", "75")]),
        ("7.5+PTX;8.0", []),
        ("7.5;8.0", []),
    ],
)
def test_one_front_end_serves_all_gpus_from_ampere_on_and_turing_has_its_own(arch, passes):
    shared = planned({"arch": arch}).gpu_code.value.shared
    assert [(item.compute, " ".join(item.codes)) for item in shared.passes] == passes
    assert shared.derived == ()


@pytest.mark.parametrize(
    ("arch", "passes", "derived"),
    [
        ("all", [("80", "80 90 100 120 PTX"), ("75", "75")], ("75",)),
        ("7.5;9.0", [], ()),  # what Hopper has cannot be written so
        ("9.0;7.5;8.6", [("86", "86 90"), ("75", "75")], ("75",)),
        ("8.0;9.0+PTX", [("80", "80 90 PTX")], ()),
        ("7.5+PTX;8.0", [("80", "80"), ("75", "75 PTX")], ("75",)),
        ("9.0", [], ()),
        ("7.5", [], ()),
    ],
)
def test_compact_derives_turing_from_the_front_end_of_ampere(arch, passes, derived):
    shared = planned({"arch": arch, "gpu-code": "compact"}).gpu_code.value.shared
    # nvcc runs them in this order: what others are written from has to come first.
    assert [(item.compute, " ".join(item.codes)) for item in shared.passes] == passes
    assert shared.derived == derived
    assert bool(shared.files) == bool(passes)


@pytest.mark.parametrize("alone", [False, True])
def test_derived_architectures_are_passed_to_cicc(alone, tmp_path):
    made = replace(planned({"gpu-code": "compact"}), nvcc=NvccOptions(threads=5, split=2))
    tools = Toolchain(tmp_path, tmp_path, tmp_path, tmp_path, seed_option=True, source_path_option=True, launcher=None)
    context = BuildContext(tmp_path, tmp_path / "log", {}, print)
    config = build_step.shim_config(made, tools, context, EnvironmentFlags(), alone=alone)
    shared = made.gpu_code.value.shared
    assert config.derived_ptx == DerivedPtx(shared.files, "compute_80", ("compute_75",), 1 if alone else 2)
    assert config.shared_passes == SharedPasses(shared.files, shared.flags())
    assert config.one_architecture == alone
    assert build_step.shim_config(planned({}), tools, context, EnvironmentFlags(), alone=alone).derived_ptx is None
