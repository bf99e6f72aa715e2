"""What the backend hands to the programs outside its process: one typed file, and no traceback where it is wrong."""

import json
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from typing import get_args, get_type_hints

import pytest
from support import ROOT

from mamba_build_backend.compile import _setup_py_child
from mamba_build_backend.toolchain.shims import compiler, nvcc_steps, protocol
from mamba_build_backend.toolchain.shims.protocol import (
    STEP_FILE,
    BuildStep,
    DerivedPtx,
    ProtocolError,
    Regrouping,
    SetupPy,
    SharedPasses,
    ShimConfig,
    SourceFile,
    StableExtension,
    TorchStandIn,
)

REGROUPING = Regrouping(
    ("a.cu",), "k.cuh", ("launch<4, ",), (SourceFile("ab.cu", "x\n"),), (SourceFile("ab.cu", "y\n"),)
)
STABLE = StableExtension("/w/stable", ("cudart",), ("-ldl",))
STAND_IN = TorchStandIn("/w/python", "2.15", "13.0")
SETUP = SetupPy(
    "/w/setup.py", ("egg_info",), ("/first",), ("/last",), ("-O3",), ("-O2",), STABLE, STAND_IN, (REGROUPING,)
)
CONFIG = ShimConfig(
    build_folders=("/w",),
    source_path_option=True,
    seed_option=False,
    shared_passes=SharedPasses(("*.cu",), ("-gencode=arch=compute_80,code=sm_80",)),
    derived_ptx=DerivedPtx(("*.cu",), "compute_80", ("compute_75",), 2),
    one_architecture=False,
    cache_command=("ccache",),
    fixed_folder="",
    nvcc_prepend=(),
    nvcc_append=("-Ofc=max",),
)
STEP = BuildStep(SETUP, CONFIG)


def written(path, step=STEP):
    protocol.write(step, str(path))
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    "step",
    [STEP, BuildStep(SETUP, None), BuildStep(replace(SETUP, stable=None, regroupings=()), replace(CONFIG, derived_ptx=None))],
)  # fmt: skip
def test_protocol_step_round_trips(tmp_path, step):
    written(tmp_path / "step.json", step)
    assert protocol.read(str(tmp_path / "step.json")) == step


def places(kind, path=()):
    """Every key of every object of the file: a path of keys."""
    for name, hint in get_type_hints(kind).items():
        yield (*path, name)
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner):
                yield from places(
                    inner, (*path, name) if inner is hint or type(None) in get_args(hint) else (*path, name, 0)
                )


PLACES = list(places(BuildStep))


def test_every_field_of_every_type_is_tried():
    kinds = [item for item in vars(protocol).values() if is_dataclass(item)]
    # SourceFile occurs in two places.
    assert len(PLACES) == sum(len(fields(item)) for item in kinds) + len(fields(SourceFile))


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize("how", ["missing", "unknown", "type"])
def test_protocol_error_names_the_field(tmp_path, path, how):
    data = written(tmp_path / "step.json")
    *way, key = path
    target = data
    for step in way:
        target = target[step]
    if how == "missing":
        del target[key]
    elif how == "unknown":
        target["surprise"] = target[key]
    else:
        target[key] = 1.5
    (tmp_path / "step.json").write_text(json.dumps(data))
    with pytest.raises(ProtocolError) as caught:
        protocol.read(str(tmp_path / "step.json"))
    assert str(tmp_path / "step.json") in str(caught.value)
    expected = {"missing": f"missing key {key}", "unknown": "unknown key surprise", "type": f".{key}"}
    assert expected[how] in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "3", "{", None])
@pytest.mark.parametrize("program", [compiler, nvcc_steps])
def test_a_stand_in_ends_with_one_line_where_its_file_is_wrong(tmp_path, program, content):
    path = tmp_path / "step.json"
    if content is not None:
        path.write_text(content)
    command = [sys.executable, "-I", "-S", program.__file__, "/x/bin/cicc", "-c", "k.cu"]
    done = subprocess.run(command, env={STEP_FILE: str(path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"mamba-build-backend: {path}: ")
    assert done.stderr.count("\n") == 1


def test_the_child_ends_with_one_line_where_its_file_is_wrong(tmp_path):
    command = [sys.executable, _setup_py_child.__file__, tmp_path / "no.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"mamba-build-backend: {tmp_path}/no.json: ")


def test_a_stand_in_finds_its_modules_and_no_others(tmp_path):
    """In isolated mode it sees the standard library first, then its own folder; no PYTHONPATH, no current folder."""
    written(tmp_path / "step.json", BuildStep(SETUP, replace(CONFIG, cache_command=())))
    for name in ("json", "protocol", "nvcc_options", "dataclasses"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('another module')")
    nvcc = tmp_path / "nvcc"
    nvcc.write_text('#!/bin/sh\necho "$@"\n')
    nvcc.chmod(0o755)
    command = [sys.executable, "-I", "-S", compiler.__file__, nvcc, "-O3", "-c", "/x/k.cu"]
    env = {STEP_FILE: str(tmp_path / "step.json"), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "-gencode=arch=compute_80,code=sm_80 -O3 -c /x/k.cu -Ofc=max\n"


def test_upstreams_setup_sees_no_module_of_the_backend(tmp_path):
    for name in ("protocol", "nvcc_options", "progress", "stable_abi"):
        (tmp_path / f"{name}.py").write_text("value = 'upstream'")
    setup = tmp_path / "setup.py"
    setup.write_text(
        "import sys, protocol, nvcc_options, progress, stable_abi\n"
        "print({m.value for m in (protocol, nvcc_options, progress, stable_abi)})\n"
        f"print([entry for entry in sys.path if {str(ROOT / 'mamba_build_backend')!r} in entry])\n"
    )
    written(tmp_path / "step.json", BuildStep(SetupPy(str(setup), (), (), (), (), (), None, None, ()), None))
    command = [sys.executable, _setup_py_child.__file__, tmp_path / "step.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "{'upstream'}\n[]\n"
