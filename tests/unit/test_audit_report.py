"""What ``audit`` prints: the bars of a library's sizes, and the floor of a wheel with its torch."""

from dataclasses import replace

import pytest

from mamba_build_backend import tables
from mamba_build_backend.audit import chart as audit_chart
from mamba_build_backend.audit import report as audit_report
from mamba_build_backend.audit.types import Extension, Report
from mamba_build_backend.symbols import floors
from mamba_build_backend.symbols.elf import Needs, VersionNeed
from mamba_build_backend.symbols.sections import Section

LOADED = tables.load_tables()
MADE_UP = Extension(
    path="made_up/_C.so",
    machine="x86_64",
    size=20_000_000,
    floor=tables.Floor("2.14", "3.4.21", "1.3.9", "3.0"),
    blockers=(
        ("GLIBC_2.14", "libc.so.6", "memcpy memmove"),
        ("GLIBCXX_3.4.21", "libstdc++.so.6", "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE9_M_createERmm"),
        ("CXXABI_1.3.9", "libstdc++.so.6", "_ZdlPvm"),
    ),
    needed=("libc10.so", "libc.so.6"),
    rpath=(),
    sass=(("80", 5_000_000), ("90", 8_000_000)),
    ptx=(("120", 1_500_000),),
    unversioned=7,
    unresolved=None,
    sections=(
        Section(".nv_fatbin", "gpu", 14_500_800),
        Section(".text", "code", 3_000_000),
        Section(".rodata", "data", 400_000),
        Section(".data", "data", 34_200),
        Section(".dynsym", "symbols", 60_000),
        Section(".symtab", "debug", 2_000_000),
        Section(".comment", "rest", 100),
    ),
)
REPORT = Report("made_up-1.0-cp312-cp312-linux_x86_64.whl", 9_000_000, (), (MADE_UP,), ())

IN_40 = """\
sm_80             5.0 MB █████████▍
sm_90             8.0 MB ███████████████
compute_120 PTX   1.5 MB ██▊
GPU other          800 B ▏
host code         3.0 MB █████▋
data            434.2 kB ▉
symbols          60.0 kB ▏
not stripped      2.0 MB ███▊
other             5.0 kB ▏
"""
IN_120 = """\
sm_80             5.0 MB  25.0 %  █████████████████████████████████████▌
sm_90             8.0 MB  40.0 %  ████████████████████████████████████████████████████████████
compute_120 PTX   1.5 MB   7.5 %  ███████████▎
GPU other          800 B   0.0 %  ▏
host code         3.0 MB  15.0 %  ██████████████████████▌
data            434.2 kB   2.2 %  ███▎
symbols          60.0 kB   0.3 %  ▌
not stripped      2.0 MB  10.0 %  ███████████████
other             5.0 kB   0.0 %  ▏
"""
IN_40_ASCII = """\
sm_80             5.0 MB #########
sm_90             8.0 MB ###############
compute_120 PTX   1.5 MB ###
GPU other          800 B .
host code         3.0 MB ######
data            434.2 kB #
symbols          60.0 kB .
not stripped      2.0 MB ####
other             5.0 kB .
"""


def drawn(width, **options):
    return "".join(f"{line}\n" for line in audit_chart.chart([MADE_UP], width, **options))


def test_bars_equal_the_recorded_ones():
    assert drawn(40) == IN_40
    assert drawn(120) == IN_120
    assert drawn(40, ascii_only=True) == IN_40_ASCII


def test_the_bars_add_up_to_the_file_and_fit_the_width():
    assert sum(audit_chart.shares([MADE_UP]).values()) == MADE_UP.size
    for width in range(40, 200):
        assert max(map(len, drawn(width).splitlines())) <= width


def test_narrow_output_and_an_empty_library_are_drawn():
    assert len(drawn(10).splitlines()) == len(drawn(40).splitlines())
    assert audit_chart.chart([], 80) == []
    assert audit_chart.chart([replace(MADE_UP, size=0, sass=(), ptx=(), sections=())], 80) == []


@pytest.mark.parametrize(
    ("encoding", "drawable"), [("utf-8", True), ("gb18030", True), ("latin-1", False), ("ascii", False), (None, False)]
)
def test_blocks_are_drawn_if_the_encoding_has_them(encoding, drawable):
    assert audit_chart.is_drawable(encoding) is drawable


def test_few_libraries_get_a_chart_each_and_many_share_one():
    lines = audit_report.audit_text(REPORT, 80).splitlines()
    assert "    sizes     as stored, 20.0 MB in all" in lines
    many = audit_report.audit_text(replace(REPORT, extensions=(MADE_UP,) * 9), 80)
    assert many.count("not stripped") == 1
    assert "  sizes       of all 9 libraries, as stored, 180.0 MB\n" in many


def test_sizes_have_units():
    shown = [audit_chart.in_units(size) for size in (0, 999, 1000, 999_949, 999_950, 20_000_000)]
    assert shown == ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "20.0 MB"]


TORCH = floors.TorchNeeds(
    "2.11.0+cu130",
    "libraries",
    floors.Asked("2.28", "libtorch_cpu.so"),
    floors.Asked("3.4.19", "libc10.so"),
    floors.Asked("1.3.9", "libc10.so"),
)


def effective(torch, extension=MADE_UP):
    return floors.effective_floor(extension.blockers, torch, LOADED)


def test_larger_need_of_wheel_and_torch_sets_the_floor():
    found = effective(TORCH)
    assert found.glibc == floors.Effective("2.28", "torch", "libtorch_cpu.so", wheel="2.14", torch="2.28")
    assert (found.glibcxx.version, found.glibcxx.set_by) == ("3.4.21", "wheel")
    assert found.glibcxx.by.endswith("9_M_createERmm of libstdc++.so.6")
    assert (found.cxxabi.version, found.cxxabi.set_by, found.cxxabi.by) == (
        "1.3.9",
        "wheel",
        "_ZdlPvm of libstdc++.so.6",
    )
    assert found.systems == ("RHEL 8", "Debian 10", "Ubuntu 20.04")


def test_versions_are_compared_as_numbers():
    assert floors.larger(floors.Asked("2.9"), floors.Asked("2.17")).set_by == "torch"
    assert floors.larger(floors.Asked("2.17"), floors.Asked("2.9")).set_by == "wheel"
    assert floors.larger(floors.Asked(), floors.Asked()) == floors.Effective("", "", "", "", "")
    assert floors.larger(floors.Asked(), floors.Asked("2.2.5")).set_by == "torch"


def test_wheel_sets_the_floor_without_torch():
    found = effective(None)
    assert (found.torch, found.glibc.version, found.glibc.set_by) == ("", "2.14", "wheel")
    # GLIBCXX 3.4.21 is newer than what RHEL 7 has, whose glibc would do.
    assert found.systems == ("RHEL 8", "Debian 10", "Ubuntu 18.04")


@pytest.mark.parametrize(
    ("floor", "systems"),
    [
        (("2.17", "3.4.19"), ("RHEL 7", "Debian 10", "Ubuntu 18.04")),
        (("2.28", ""), ("RHEL 8", "Debian 10", "Ubuntu 20.04")),
        (("2.31", ""), ("RHEL 9", "Debian 11", "Ubuntu 20.04")),
        (("2.35", ""), ("Debian 12", "Ubuntu 22.04")),
        (("2.17", "3.4.32"), ()),
    ],
)
def test_oldest_sufficient_systems_are_named(floor, systems):
    assert floors.oldest_systems(tables.Floor(*floor), LOADED) == systems


def test_text_names_what_sets_the_floor():
    text = audit_report.audit_text(replace(REPORT, effective_floor=effective(TORCH)))
    assert (
        "  runs with   glibc 2.28 and newer (set by torch 2.11.0+cu130, in libtorch_cpu.so; the wheel itself needs 2.14)\n"
        "              GLIBCXX 3.4.21 and newer (set by the wheel itself, for "
        "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcE…; torch 2.11.0+cu130 needs 3.4.19)\n"
        "              CXXABI 1.3.9 and newer (set by the wheel itself, for _ZdlPvm of libstdc++.so.6; "
        "torch 2.11.0+cu130 needs 1.3.9)\n"
        "              from RHEL 8, Debian 10, Ubuntu 20.04 on\n"
    ) in text
    recorded = replace(TORCH, source="record", glibc=floors.Asked("2.28"))
    text = audit_report.audit_text(replace(REPORT, effective_floor=effective(recorded)))
    assert "glibc 2.28 and newer (set by torch 2.11.0+cu130, the torch of the build; the wheel" in text
    text = audit_report.audit_text(replace(REPORT, effective_floor=effective(None)))
    assert "torch itself may need more (add --torch with a torch that the wheel requires)" in text


def test_relocation_format_needs_the_glibc_that_introduced_it():
    need = VersionNeed("libc.so.6", "GLIBC_ABI_DT_RELR", ()), VersionNeed("libc.so.6", "GLIBC_2.14", ("memcpy",))
    floor, blockers = floors.floor_of(Needs("x64", (), (), need, (), ()))
    assert floor.glibc == "2.36"
    assert blockers == (("GLIBC_2.36", "libc.so.6", ""),)
