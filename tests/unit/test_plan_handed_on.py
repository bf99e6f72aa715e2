"""What a plan hands to those who carry it out: nvcc's passes, tools that came later, JSON."""

import json
from dataclasses import replace

import pytest
from changed_machines import CASES, FACTS
from support import planned_for, ready

from mamba_build_backend import plan, tables
from mamba_build_backend.core.commands import Here
from mamba_build_backend.core.errors import PlanError
from mamba_build_backend.core.facts import CacheProgram, CompilerCache, Toolkit
from mamba_build_backend.plan import doctor_json, report
from mamba_build_backend.plan.jobs import native_share
from mamba_build_backend.probe import recording


def planned(machine="debian12-torch2.11-cuda13.0", known=None, **settings):
    given = {key.replace("_", "-"): value for key, value in settings.items()}
    chosen, found = recording.load(FACTS / f"{machine}.json", given)
    return plan.decide(chosen, found, known or tables.load_tables())


def named(passes):
    return [f"{item.compute}: {' '.join(item.codes)}" for item in passes]


@pytest.mark.parametrize(
    ("arch", "how", "shared", "derived"),
    [
        ("8.0;9.0", "nvcc", ["80: 80 90"], ()),
        ("9.0;8.0", "nvcc", ["80: 80 90"], ()),
        ("8.0+PTX;9.0", "nvcc", ["80: 80 90 PTX"], ()),
        ("8.6+PTX;9.0+PTX;12.0", "nvcc", ["86: 86 90 120 PTX"], ()),
        ("7.5;8.0;9.0", "nvcc", ["80: 80 90", "75: 75"], ()),
        ("7.5;8.0;9.0", "compact", ["80: 80 90", "75: 75"], ("75",)),
        # PTX for Hopper has more than Turing can do.
        ("7.5;9.0;10.0", "compact", ["90: 90 100", "75: 75"], ()),
        ("7.5;9.0", "compact", [], ()),
        ("7.5;8.9", "compact", ["89: 89", "75: 75"], ("75",)),
        # A letter means code for only one GPU, and no other pass is derived from it.
        ("8.0;9.0a", "nvcc", [], ()),
        ("8.0;9.0;10.0f", "compact", ["80: 80 90", "100f: 100f"], ()),
        # One pass is nothing to share.
        ("8.0", "compact", [], ()),
        ("7.5", "compact", [], ()),
        ("7.5;8.0", "nvcc", [], ()),
    ],
)
def test_later_gpus_share_the_oldest_pass_from_ampere_on(arch, how, shared, derived):
    made = planned(arch=arch, gpu_code=how).gpu_code.value
    assert (named(made.shared.passes), made.shared.derived) == (shared, derived)
    assert bool(made.shared.files) == bool(shared)
    assert made.compact == (how == "compact")
    assert made.runs == (len(shared) - len(derived) if shared else len(made.passes))


def test_sccache_shares_no_front_end():
    made = planned("sccache-asked", arch="8.0;9.0")
    assert not made.gpu_code.value.shared.files
    assert (made.nvcc.threads, made.nvcc.split) == (1, 1)


def test_a_project_that_names_no_such_files_shares_none():
    assert not planned(upstream="self", arch="8.0;9.0").gpu_code.value.shared.files


@pytest.mark.parametrize(
    ("arch", "share"), [("9.0", None), ("8.0+PTX", None), ("8.0;9.0", 0.78), ("all", 0.37), ("7.5;8.0", 0.54)]
)
def test_build_for_one_gpu_takes_this_part_of_the_time(arch, share):
    found = native_share(planned(arch=arch).gpu_code.value)
    assert (found if found is None else round(found, 2)) == share


def test_a_toolkit_that_was_unpacked_goes_to_both_parts():
    made = planned("companion")
    unpacked = Toolkit("/cache/cuda-13.0", "NVIDIA's archives", version="13.0")
    after = made.with_toolkit(unpacked)
    assert [part.toolkit.value for part in after.parts] == [unpacked, unpacked]
    assert after.toolkit.because == made.toolkit.because
    assert planned().with_toolkit(unpacked).companion is None
    assert ready(after).toolkit is unpacked


def test_missing_packages_stop_a_build_without_isolation():
    made = planned("torch-asked-with-its-cuda")
    with pytest.raises(PlanError) as caught:
        made.check()
    (problem,) = caught.value.problems
    assert (problem.code, problem.needed) == ("not-installed", "an isolated build installs them automatically")
    assert problem.found == f"this environment lacks {', '.join(made.requirements)}"
    first, second = problem.fix
    assert first == "use the same command without --no-build-isolation"
    assert second == "python -m pip install " + " ".join(f"'{item}'" for item in made.requirements)


@pytest.mark.parametrize("lacking", ["toolkit", "compiler", "sysroot"])
def test_without_one_of_the_tools_nothing_is_built(lacking):
    made = ready(planned()).plan
    with pytest.raises(PlanError):
        replace(made, **{lacking: replace(getattr(made, lacking), value=None)}).check()


@pytest.mark.parametrize(
    ("machine", "kept"),
    [
        ("everything-wrong", []),
        ("offline-with-nothing", ["source-offline"]),
        ("upstream-unknown", ["upstream-version"]),
        ("companion-none", ["companion"]),
    ],
)
def test_metadata_need_only_the_sources(machine, kept):
    _, made = planned_for(FACTS / f"{machine}.json")
    assert [item.code for item in made.without_machine().problems] == kept


@pytest.mark.parametrize(
    ("machine", "settings", "label", "local"),
    [
        ("debian12-torch2.11-cuda13.0", {"variant": "auto", "local_version": "auto"}, "cu13", "cu13"),
        ("torch-2.8-default", {"variant": "auto", "local_version": "auto", "abi": "torch"}, "cu12", "cu12torch2.8cxx11abiTRUE"),
        ("debian12-torch2.11-cuda13.0", {"variant": "lab.1", "local_version": "lab1"}, "lab.1", "lab1"),
        ("debian12-torch2.11-cuda13.0", {}, "", ""),
        # The driver must run code of the compiling CUDA, regardless of torch's CUDA.
        ("cuda13-nearest", {"variant": "auto", "cuda_home": "redist"}, "cu12", ""),
        ("stable-old-torch", {"variant": "auto", "local_version": "auto"}, "cu12", "cu12"),
    ],
)  # fmt: skip
def test_labels_name_the_cuda_and_the_torch(machine, settings, label, local):
    made = planned(machine, **settings)
    assert (made.variant, made.local_version) == (label, local)


def test_json_names_each_choice():
    chosen, found = recording.load(FACTS / "h100-ubuntu24.04.json", {"gpu-code": "compact", "arch": "7.5;8.0;9.0"})
    cache = CompilerCache(CacheProgram.CCACHE, "/usr/bin/ccache", "4.9")
    found = replace(found, compiler_caches=(cache,))
    made = plan.decide(chosen, found, tables.load_tables())
    data = json.loads(json.dumps(doctor_json.plan_json(found, made)))["plan"]
    taken = {name: data[name]["chosen"] for name in ("torch", "toolkit", "compiler", "sysroot", "compiler_cache")}
    torch, toolkit, compiler = made.torch.value, made.toolkit.value, made.compiler.value
    assert taken["torch"] == {
        "site": torch.site,
        "version": "2.11.0+cu130",
        "cuda": "13.0",
        "cxx11_abi": True,
        "origin": torch.origin,
    }
    assert taken["toolkit"] == {
        "home": "/usr/local/cuda",
        "version": "13.0",
        "layout": "home",
        "origin": toolkit.origin,
    }
    assert (taken["compiler"]["path"], taken["compiler"]["version"]) == (compiler.path, "13.3.0")
    assert taken["sysroot"] is None, "zig's is still to be installed"
    assert taken["compiler_cache"] == {"path": "/usr/bin/ccache", "name": "ccache", "version": "4.9"}
    assert (data["gpu_code"]["written_by"], data["gpu_code"]["derived"]) == ("compact", ["75"])
    assert len(data["compiler"]["passed_over"]) == len(made.compiler.rejected) > 1
    there = json.loads(json.dumps(doctor_json.plan_json(*planned_for(FACTS / "sysroot-host.json"))))["plan"]
    assert (there["sysroot"]["chosen"]["path"], there["gpu_code"]["written_by"]) == ("/", "nvcc")


def test_patches_are_listed_with_why_for_each_part():
    made = planned("companion-from-mirrors")
    text = report.patches_text(made).splitlines()
    assert [line for line in text if not line.startswith("  ")] == [
        f"{part.title}, torch {made.target.version}, CUDA 13.0" for part in made.parts
    ]
    assert len(made.parts) == 2
    for part in made.parts:
        for item in part.patches.value:
            assert f"  {'fix    ' if item.is_fix else 'applied'}      {item.file}: {item.why}" in text
        for left in part.patches.rejected:
            assert f"  not applied  {left.what}: {left.why}" in text
    assert (
        report.patches_text(replace(made, patches=replace(made.patches, value=(), rejected=()))).splitlines()[1]
        == "  there are no patches"
    )
    data = report.patches_json(made)
    assert (data["schema"], data["upstream"]) == (1, {"name": "mamba-ssm", "version": "2.2.4"})
    applied = [item for part in made.parts for item in part.patches.value]
    assert data["applied"] == [{"file": item.file, "kind": item.kind, "why": item.why} for item in applied]
    files = {item["file"] for item in data["applied"]}
    assert {item["file"]: item["why"] for item in data["not-applied"]} == {
        item.what: item.why for item in made.patches.rejected if item.what not in files
    }


def test_choice_by_a_setting_is_marked_as_forced():
    made = planned("gxx-11-alone-cuda-11.6-asked")
    assert (made.toolkit.value.version, made.toolkit.forced) == ("11.6", True)
    assert planned().toolkit.forced is False
    archived = planned("torch-2.8-default", cuda_home="redist").toolkit
    assert (archived.forced, archived.value.home, archived.value.found_in) == (True, "", "NVIDIA's archives")
    assert "90" in archived.value.archs
    assert planned("zig-installed").compiler.forced is True
    assert planned("ccache-too-old").compiler_cache.forced is True
    assert planned("sccache-asked").compiler_cache.forced is True
    assert planned("ccache-on-path").compiler_cache.forced is False
    assert planned("zig-asked").compiler.forced is True


def test_the_names_of_the_cases_are_not_repeated():
    assert len({case.name for case in CASES}) == len(CASES)


def kinds(machine, **options):
    """Each line of a report with what it is, for its colour."""
    return [
        (kind, line) for kind, line in report.shown_lines(*planned_for(FACTS / f"{machine}.json"), Here(), **options)
    ]


def test_only_the_first_line_of_a_message_has_colour():
    lines = kinds("no-torch")
    assert [kind for kind, _ in lines[:3]] == [report.TITLE, report.WARNING, report.PLAIN]
    lines = kinds("rocky-8-without-nvcc")
    starts = {report.ERROR: "error: ", report.COMMAND: ("  fix:  ", "  or:   ", "  do:   "), report.DIM: "        # "}
    for kind, start in starts.items():
        told = [line for found, line in lines if found == kind]
        assert told
        assert all(line.startswith(start) or (kind == report.DIM and line.startswith("        ")) for line in told), (
            told
        )
    assert all(
        kind == report.PLAIN for kind, line in lines if line.startswith("       ") and not line.startswith("        ")
    )
    assert lines[-1][0] == report.PLAIN
    lines = kinds("polluted", verbose=True)
    assert {kind for kind, line in lines if line.startswith("note: ")} == {report.WARNING}
    assert {kind for kind, line in lines if line.startswith("            not ")} == {report.DIM}
    assert lines[-1] == (report.READY, "The build can start:  python -m pip install ./mamba-ssm-portable")


@pytest.mark.parametrize("width", [90, 120])
def test_a_report_is_as_wide_as_is_asked(width):
    found, made = planned_for(FACTS / "everything-wrong.json")
    lines = report.plan_text(found, made, verbose=True, width=width).splitlines()
    told = [line for line in lines if not line.startswith(("  fix:", "  or:", "  do:"))]
    assert width - 8 < max(len(line) for line in told) <= width


def test_only_the_short_report_names_the_whole_report():
    found, made = planned_for(FACTS / "no-gxx-abi-torch.json")
    assert report.plan_text(found, made).endswith("\n1 problem. More: python -m mamba_build_backend doctor -v\n")
    assert report.plan_text(found, made, verbose=True).endswith("\n1 problem.\n")
