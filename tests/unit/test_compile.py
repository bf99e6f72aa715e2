"""What stands in front of nvcc, g++, cicc and fatbinary."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from support import ROOT

from mamba_build_backend import _nvcc_steps, plan, recorded, settings, tables
from mamba_build_backend._child import put_together
from mamba_build_backend._compile import command
from mamba_build_backend._nvcc_steps import compact, compact_files, compile_once, completed, framed
from mamba_build_backend.alike import group, once
from mamba_build_backend.plan import Together
from mamba_build_backend.tables import Alike

ORDERS = {
    "works": ["/b/work"],
    "seed": False,
    "one_pass": {"files": [], "flags": []},
    "cache": [],
    "alone": False,
    "name": "",
}
HERE = "/b/work/source/tree/build/temp"
SOURCE = "/b/work/source/tree/csrc/k.cu"


def test_paths_in_the_build_folder_are_seen_from_where_the_compiler_runs():
    given = ["-I/b/work/torch-alone", "-I/b/worker", "-I/usr/include", "-c", SOURCE, "-o", f"{HERE}/k.o", "-DX=/b/work"]
    words = command("/b/work/toolchain/cuda/bin/nvcc", given, ORDERS, HERE)
    assert words == [
        *("../../../../toolchain/cuda/bin/nvcc", "-I../../../../torch-alone", "-I/b/worker", "-I/usr/include", "-c"),
        *("../../csrc/k.cu", "-o", "k.o", "-DX=/b/work", "-Xcudafe", "--orig_src_path_name=/source/tree/csrc/k.cu"),
    ]


def test_what_compiles_nothing_goes_on_as_it_came():
    assert command("nvcc", ["--version"], ORDERS, HERE) == ["nvcc", "--version"]
    assert command("nvcc", ["-E", SOURCE], ORDERS, HERE) == ["nvcc", "-E", SOURCE]


def test_where_memory_was_short_one_architecture_is_worked_on_at_a_time():
    given = ["--threads", "4", "--split-compile", "8", "-c", "/x/k.cu"]
    assert command("nvcc", given, ORDERS, HERE) == ["nvcc", *given]
    assert command("nvcc", given, {**ORDERS, "alone": True}, HERE) == ["nvcc", *given[2:]]


@pytest.mark.parametrize("name", ["x_fp32.cu", "x_bf16.cu"])
def test_a_file_that_needs_one_front_end_gets_its_own_architectures(name):
    one_pass = {"files": ["*_fp32.cu"], "flags": ["-gencode=arch=compute_75,code=sm_80"]}
    given = ["-gencode", "arch=compute_80,code=sm_80", "-gencode=arch=compute_75,code=sm_75", "-O3", "-c", f"/x/{name}"]
    words = command("nvcc", given, {**ORDERS, "one_pass": one_pass}, HERE)
    if name == "x_fp32.cu":
        assert words == ["nvcc", "-gencode=arch=compute_75,code=sm_80", "-O3", "-c", f"/x/{name}"]
    else:
        assert words == ["nvcc", *given]


def test_a_cache_comes_first_where_dependencies_are_noted_and_nvcc_is_asked_for_them_briefly():
    orders = {**ORDERS, "cache": ["/usr/bin/ccache"], "works": []}
    long = ["--generate-dependencies-with-compile", "--dependency-output", "k.o.d", "-c", "/x/k.cu"]
    assert command("nvcc", long, orders, HERE) == ["/usr/bin/ccache", "nvcc", "-MD", "-MF", "k.o.d", "-c", "/x/k.cu"]
    assert command("nvcc", ["-c", "/x/k.cu"], orders, HERE) == ["nvcc", "-c", "/x/k.cu"], "not safe without"
    assert command("g++", ["-MMD", "-MF", "a.d", "-c", "/x/a.cpp"], orders, HERE)[:2] == ["/usr/bin/ccache", "g++"]


def test_with_a_name_for_the_build_folder_the_source_is_a_copy():
    orders = {**ORDERS, "name": "/tmp/name", "cache": ["sccache"], "seed": True}
    words = command("/nvcc", ["-MD", "-MF", f"{HERE}/k.d", "-c", SOURCE, "-ccbin", "/b/work/bin/g++"], orders, HERE)
    assert words == [
        *("sccache", "/nvcc", "-I/tmp/name/work/source/tree/csrc", "-MD", "-MF", "/tmp/name/work/source/tree/build/temp/k.d"),
        *("-c", "/tmp/name/sources/source/tree/csrc/k.cu", "-ccbin", "/tmp/name/work/bin/g++", "-Xcudafe"),
        *("--orig_src_path_name=/source/tree/csrc/k.cu", "-frandom-seed=/source/tree/csrc/k.cu"),
        *("-Xcompiler", "-ffile-prefix-map=/tmp/name/sources=."),
    ]  # fmt: skip


ALIKE = Alike("ab", ("a.cu", "b.cu"), "k.cuh", "launch", "P &p", ("half", "float"), small=(("4, 2", "8, 2")))
HEADER = "template<int a, int b, typename T> void launch(P &p);\n launch<1, 2, T>(p); launch<4, 2, T>(p); launch<8, 2, T>(p);"


def test_files_that_are_alike_are_dealt_out_in_another_way(tmp_path):
    groups = [group(Together(ALIKE, (("4, 2", "8, 2"),)))]
    sources = [f"{tmp_path}/z.cpp", f"{tmp_path}/a.cu", f"{tmp_path}/b.cu", f"{tmp_path}/c.cu"]
    (tmp_path / "k.cuh").write_text(HEADER)
    # A file that is missing, or elsewhere: none is touched.
    assert put_together(sources[1::2], groups) == sources[1::2]
    assert put_together([*sources[:2], "/elsewhere/b.cu"], groups) == [*sources[:2], "/elsewhere/b.cu"]
    dealt = put_together(sources, groups)
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
    assert put_together(sources, groups) == dealt
    assert path.stat().st_mtime_ns == before, "ninja would compile it again"
    path.write_text("of an earlier release")
    put_together(sources, groups)
    assert path.read_text() == text


@pytest.mark.parametrize("header", [None, "", HEADER.replace("8, 2", "8, 4"), HEADER.replace("P &p", "P p")])
def test_files_whose_header_is_another_one_only_become_one(tmp_path, header):
    if header is not None:
        (tmp_path / "k.cuh").write_text(header)
    groups = [group(Together(ALIKE, (("4, 2", "8, 2"),)))]
    assert put_together([f"{tmp_path}/b.cu", f"{tmp_path}/a.cu"], groups) == [f"{tmp_path}/ab.cu"]
    assert (tmp_path / "ab.cu").read_text() == '#include "a.cu"\n#include "b.cu"\n'


ENTRY = "\t// .globl\t{0}\n.visible .entry {0}(\n\t.param .u64 p\n)\n{{\n\tret;\n\n}}\n"


def test_kernels_of_ptx_come_in_the_order_of_their_names_and_without_comments(tmp_path):
    head, end = "// nvcc\n.version 8.8\n.target sm_80\n.global .u32 g;\n\n", "\n// the end\n"
    text = head + ENTRY.format("k_half") + "\n" + ENTRY.format("k_bf16") + end
    path = tmp_path / "k.ptx"
    path.write_text(text)
    compact_files(["-64", f"--image3=kind=ptx,sm=80,file={path}", "--image3=kind=elf,sm=80,file=/no/such.cubin"])
    kernel = ".visible .entry {0}(\n.param .u64 p\n)\n{{\nret;\n}}\n"
    assert path.read_text() == "\n".join(
        [".version 8.8", ".target sm_80", ".global .u32 g;", kernel.format("k_bf16") + kernel.format("k_half")]
    )


def test_names_that_hold_in_one_kernel_of_ptx_are_cut_in_it():
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
def test_ptx_with_anything_else_among_its_kernels_stays_as_it_is(between):
    text = ".target sm_80\n" + ENTRY.format("b") + between + ENTRY.format("a")
    assert compact(text) == text


@pytest.mark.parametrize("text", ["", ".target sm_80\n", ENTRY.format("b")[:-3], ENTRY.format("b") * 2])
def test_ptx_that_is_not_understood_stays_as_it_is(text):
    assert compact(text) == text


FRAME = """asm(
"fatbinData:\\n"
".quad 0x0000000000000001,0x0000000000000002\\n"
".text\\n");
extern const unsigned long long fatbinData[2];
"""


def test_a_fat_binary_gets_the_frame_of_another():
    made = framed(FRAME, bytes(range(40)))
    assert made.splitlines()[2:5] == [
        '".quad 0x0706050403020100,0x0f0e0d0c0b0a0908,0x1716151413121110,0x1f1e1d1c1b1a1918\\n"',
        '".quad 0x2726252423222120\\n"',
        '".text\\n");',
    ]
    assert "fatbinData[5];" in made
    for other in ("", FRAME.replace("[2]", "[3]"), FRAME.replace(".quad", ".byte")):
        with pytest.raises(ValueError, match="another frame"):
            framed(other, bytes(8))


FULL = (
    ".version 9.0\n.target sm_75\n.extern .shared .b8 s[];\n.global .u32 g = 1;\n"
    + ENTRY.format("k_half")
    + ENTRY.format("k_bf16")
)
LESS = ".version 9.0\n.target sm_80\n.extern .shared .b8 s[];\n" + ENTRY.format("k_bf16").replace("ret", "trap")


def test_kernels_that_are_left_out_come_from_the_module_for_an_older_target():
    text = completed(LESS, FULL)
    assert text.splitlines()[:4] == [".version 9.0", ".target sm_80", ".extern .shared .b8 s[];", ".global .u32 g = 1;"]
    assert (
        text.count(".entry k_bf16(") == text.count(".entry k_half(") == text.count("trap;") == text.count("ret;") == 1
    )


@pytest.mark.parametrize(
    ("later", "first"),
    [
        (LESS.replace("9.0", "9.1"), FULL),
        (LESS.replace("k_bf16", "k_other"), FULL),
        (LESS + ".func f()\n{\n}\n", FULL),
        (LESS, FULL.replace("s[]", "s[4]")),
        (LESS, FULL.replace(".global .u32 g = 1;", '.pragma "x"')),
        (FULL.replace("75", "80"), FULL),
    ],
)
def test_modules_that_do_not_go_together_are_left_alone(later, first):
    with pytest.raises(ValueError, match=r"version|kernels|name|declaration"):
        completed(later, first)


CICC = r"""
import os, re, sys, time
given = dict(zip(sys.argv[1:], sys.argv[2:]))
text = open(sys.argv[-1]).read()
arch = given["-arch"][-2:]
with open(given["-o"] + ".log", "a") as log:
    log.write(f"{arch} {len(re.findall('template', text))}\n")
if f"fail {arch}" in text:
    sys.exit(3)
if arch == "75":
    time.sleep(float(os.environ.get("SLEEP", "0")))
names = re.findall(r"template void k<(.*)>\(\);", text)
with open(given["-o"], "w") as file:
    file.write(f".version 9.0\n.target sm_{arch}\n")
    for name in names:
        file.write(f".visible .entry k_{name}()\n{{\n\tret{arch};\n}}\n")
with open(given["--stub_file_name"], "w") as file:
    file.write(f'# 1 "{os.path.basename(given["--stub_file_name"])}"\n' + "".join(f"register k_{name}\n" for name in names))
"""


@pytest.fixture
def front_ends(tmp_path, monkeypatch):
    """Calls cicc as nvcc does, each front end with files of its own; returns its status and PTX."""
    once = {"files": ["k*.cu"], "first": "compute_75", "later": ["compute_80"], "lines": r"^template void k<half>\(\);"}
    (tmp_path / "orders.json").write_text(json.dumps({"once": once}))
    monkeypatch.setenv("_MAMBA_BACKEND_ORDERS", str(tmp_path / "orders.json"))
    monkeypatch.setattr(_nvcc_steps, "_PATIENCE", 0.5)
    real = tmp_path / "cicc"
    real.write_text(f"#!{sys.executable}\n{CICC}")
    real.chmod(0o755)

    def call(arch, text="template void k<half>();\ntemplate void k<bf16>();\n", source="k_joined.cu"):
        out, preprocessed = tmp_path / f"{arch}.ptx", tmp_path / f"{arch}.cpp1.ii"
        preprocessed.write_text(text)
        arguments = ["--orig_src_file_name", source, "-arch", f"compute_{arch}", "-m64"]
        arguments += ["--module_id_file_name", str(tmp_path / "k.module_id")]
        arguments += ["--stub_file_name", str(tmp_path / f"{arch}.stub.c"), "-o", str(out), str(preprocessed)]
        with suppress(ValueError):
            return compile_once(str(real), arguments), out
        return "as it is", out

    return call


def test_a_later_front_end_takes_from_the_first_what_is_the_same(front_ends, tmp_path):
    assert front_ends("75")[0] == 0
    status, out = front_ends("80")
    assert status == 0
    assert (tmp_path / "75.ptx.log").read_text() == "75 2\n"
    text = out.read_text()
    assert text.splitlines()[:2] == [".version 9.0", ".target sm_80"]
    assert text.count("ret75") == text.count("ret80") == 1
    assert (tmp_path / "80.stub.c").read_text() == '# 1 "80.stub.c"\nregister k_half\nregister k_bf16\n'


def test_a_later_front_end_waits_for_the_first(front_ends, monkeypatch):
    monkeypatch.setenv("SLEEP", "0.7")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(front_ends, "75")
        status, out = pool.submit(front_ends, "80").result()
    assert (first.result()[0], status) == (0, 0)
    assert "ret75" in out.read_text()


@pytest.mark.parametrize(
    ("before", "text", "source"),
    [
        ((), "template void k<half>();\ntemplate void k<bf16>();\n", "k_joined.cu"),  # the first never begins
        (("75",), "template void k<bf16>();\n", "k_joined.cu"),
        (("75",), "template void k<half>();\ntemplate void k<bf16>();\n", "other.cu"),
        (("75",), "// fail 80\ntemplate void k<half>();\n", "k_joined.cu"),
        (("75",), "// fail 75\ntemplate void k<half>();\n", "k_joined.cu"),
    ],
)
def test_a_front_end_runs_as_it_is_where_nothing_is_to_be_had_from_the_first(
    front_ends, tmp_path, before, text, source
):
    for arch in before:
        status, _ = front_ends(arch, text, source)
        if "fail 75" in text:
            assert status == 3, "nvcc has to know"
            # Its process is gone, and left nothing.
            (tmp_path / "k.module_id.once" / "process").write_text("999999999")
    assert front_ends("80", text, source)[0] in (None, "as it is")


def test_a_front_end_that_is_killed_ends_as_killed(front_ends, tmp_path):
    """As the build gives a compiler that the system has killed a second try."""
    (tmp_path / "cicc").write_text("#!/bin/sh\nkill -KILL $$\n")
    arguments = [
        "--orig_src_file_name",
        "k_joined.cu",
        "-arch",
        "compute_75",
        "--module_id_file_name",
        str(tmp_path / "k.id"),
    ]
    command = [sys.executable, _nvcc_steps.__file__, str(tmp_path / "cicc"), *arguments]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_the_front_end_that_others_take_from_is_the_first_that_nvcc_runs():
    _, machine = recorded.load(ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json", {})
    for arch, first in (("all", "compute_75"), ("7.5;9.0", "compute_75"), ("9.0;7.5", None), ("9.0", None)):
        made = plan.decide(settings.load_settings({"arch": arch}, {}, {}), machine, tables.load_tables())
        assert (once(made) or {"first": None})["first"] == first
