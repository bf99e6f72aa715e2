"""Lines, pulses and the table of a compile; no compiler runs here."""

import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from mamba_build_backend.audit.types import Extension, Report
from mamba_build_backend.build_summary import Stopwatch, table
from mamba_build_backend.cli import progress_bar
from mamba_build_backend.compile import progress
from mamba_build_backend.compile.progress import MARK, PULSE, Progress, Pulse, at_work, left, read_pulse
from mamba_build_backend.plan.jobs import native_share
from mamba_build_backend.plan.nvcc import share_passes
from mamba_build_backend.plan.types import GpuCode
from mamba_build_backend.symbols.sections import Section
from mamba_build_backend.tables import Floor, FrontEnd, load_tables

NINJA = "[3/10] /t/bin/nvcc -MD -MF x.o.d -c -c /t/csrc/scan_bwd.cu -o x.o -O3"


@pytest.mark.parametrize(
    ("seconds", "done", "running", "total", "expected"),
    [
        (100, 0, 2, 10, None),
        (100, 1, 2, 10, 400),
        (60, 5, 0, 10, 60),
        (60, 9, 2, 10, None),
        (360, 3, 1, 4, None),
        (60, 2, 1, 0, None),
    ],
)
def test_remaining_time_is_estimated_from_this_run(seconds, done, running, total, expected):
    assert left(seconds, done, running, total) == expected


def test_pulse_line_round_trips():
    pulse = Pulse(3, 10, 61.5, ("a [b].cu",), 1_500_000_000, 120.0)
    lines = []
    quiet = Progress(lines.append, verbose=False, environ={PULSE: "1"})
    quiet._done, quiet._total = 3, 10
    quiet.beat(0)
    quiet.end()
    first, last = map(read_pulse, lines)
    assert (first.done, first.total, first.over, last.over) == (3, 10, False, True)
    assert read_pulse(MARK + progress.json.dumps(asdict(pulse))) == pulse
    for text in ("[3/10] 0:10  x.cu", MARK, f"{MARK}[]", MARK + '{"done": 1}', f"{MARK}null"):
        assert read_pulse(text) is None


def test_terminal_shows_a_pulse_as_one_line():
    pulse = Pulse(3, 10, 61.5, ("a.cu", "b.cu"), 1_500_000_000, 120.0)
    assert pulse.text() == "3 of 10 files, 1:01; compiling a.cu, b.cu; 1.5 GB; about 2:00 left"
    many = replace(pulse, running=tuple("abcdef"), left=None, memory=0, total=0)
    assert many.text() == "1:01; compiling a, b, c, d and 2 more"


def test_rich_of_pip_replaces_an_old_rich(monkeypatch):
    old = SimpleNamespace(BarColumn=lambda bar_width: None, TextColumn=None, Progress=None)  # rich 11
    console = SimpleNamespace(Console=lambda stderr: SimpleNamespace(is_terminal=True, is_dumb_terminal=False))
    monkeypatch.setitem(sys.modules, "rich.progress", old)
    monkeypatch.setitem(sys.modules, "rich.console", console)
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for rich
    monkeypatch.setenv("TERM", "xterm")
    assert type(progress_bar._progress()).__module__ == "pip._vendor.rich.progress"
    monkeypatch.setitem(sys.modules, "pip._vendor.rich.progress", old)
    assert progress_bar._progress() is None


def test_log_gets_a_heartbeat_after_a_silent_minute(monkeypatch):
    lines, now = [], [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    said = Progress(lines.append, verbose=False)
    said(NINJA)
    now[0] += 59
    said.beat(0)
    assert lines == ["[3/10] 0:00  scan_bwd.cu"]
    now[0] += 2
    said.beat(0)
    assert lines[1].startswith("3 of 10 files, 1:01")
    now[0] += 30
    said.beat(0)
    assert len(lines) == 2
    loud = Progress(lines.append, verbose=True)
    now[0] += 300
    loud.beat(0)
    assert len(lines) == 2, "with -v every line of the compilers passes by"


def test_running_files_and_memory_come_from_proc(tmp_path):
    compiler = tmp_path / "x86_64-conda-linux-gnu-c++"
    compiler.symlink_to(sys.executable)
    code = "import time; kept = bytearray(50_000_000); time.sleep(30)"
    # As a compiler is called; Python takes -c for its own, and the rest for arguments.
    work = subprocess.Popen([compiler, "-c", code, "-O2", "/t/csrc/scan_bwd.cu", "-o", "x.o"])
    other = subprocess.Popen(["sleep", "30"])
    try:
        deadline = time.monotonic() + 10
        while at_work([work.pid])[1] < 50_000_000 and time.monotonic() < deadline:
            time.sleep(0.05)
        running, memory = at_work([work.pid, other.pid, 2**22 + 1])
        assert running == ("scan_bwd.cu",)
        assert 50_000_000 < memory < 500_000_000
    finally:
        for process in (work, other):
            process.kill()
            process.wait()
    assert at_work([os.getpid()])[0] == ()


def test_share_of_one_architecture_falls_with_their_number():
    tables = load_tables()
    front_ends = tables.cuda_row("13.0").front_ends
    everything = native_share(GpuCode(front_ends))
    assert 0.3 < everything < 0.5
    compact = native_share(GpuCode(front_ends, share_passes(("*.cu",), front_ends, compact=True), compact=True))
    assert everything < compact < 0.55
    assert native_share(GpuCode(front_ends, share_passes(("*.cu",), front_ends, compact=False))) == everything
    assert native_share(GpuCode((FrontEnd("90", ("90",)),))) is None
    assert native_share(GpuCode((FrontEnd("90", ("90", "PTX")),))) is None
    assert everything < native_share(GpuCode((FrontEnd("80", ("80", "90")),))) < 1


def test_the_table_has_time_by_stage_and_size_by_architecture():
    sections = (
        Section(".nv_fatbin", "gpu", 8_000_000),
        Section(".text", "code", 1_900_000),
        Section(".x", "rest", 100),
    )
    library = Extension(
        path="x.so", machine="x86_64", size=10_000_000, floor=Floor(), blockers=(), needed=(), rpath=(),
        sass=(("90", 5_000_000), ("120", 3_000_000)), ptx=(), unversioned=0, unresolved=None, sections=sections,
    )  # fmt: skip
    report = Report("x.whl", 1, (), (library,), ())
    laps = {"source": 0.4, "tools": 10.0, "compile": 121.0, "repair": 6.0, "audit": 3.0}
    assert table(laps, report) == [
        "tools       0:10    7 %     sm_90       5.0 MB   50 %",
        "compile     2:01   86 %     sm_120      3.0 MB   30 %",
        "repair      0:06    4 %     host code   1.9 MB   19 %",
        "audit       0:03    2 %     other     100.0 kB    1 %",
    ]
    assert table({}, replace(report, extensions=())) == []


def test_a_stopwatch_adds_what_is_done_twice():
    watch = Stopwatch()
    for name in ("compile", "audit", "compile"):
        watch.lap(name)
    assert list(watch.laps) == ["compile", "audit"]
    assert watch.seconds == pytest.approx(sum(watch.laps.values()))
