"""The build record: named fields, the same bytes for any names in the plan, and no fact about its builder's machine."""

import copy
import json
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT, ready

from mamba_build_backend import plan, tables
from mamba_build_backend.audit import check as audit
from mamba_build_backend.core import facts
from mamba_build_backend.core.errors import AuditError
from mamba_build_backend.probe import recording
from mamba_build_backend.symbols import floors
from mamba_build_backend.wheel import write_record
from mamba_build_backend.wheel.build_record import BuildRecord, VariableRecord
from mamba_build_backend.wheel.read_record import read_record

LOADED = tables.load_tables()
MACHINES = sorted((ROOT / "tests" / "facts").glob("*.json"))
RECORDS = ROOT / "tests" / "records"
TORCH = facts.Torch(
    "/home/u/venv/lib/python3.11/site-packages", "setting torch", "2.11.0+cu130", "13.0", cxx11_abi=True
)
TOOLKIT = facts.Toolkit("/usr/local/cuda-13.0", "PATH", version="13.0")
COMPILER = facts.Compiler("/usr/bin/g++", "PATH", version="12.2.0", target="x86_64-linux-gnu")
# The time to draw a record is not a property of records.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def planned(path, **config):
    """The plan for a recorded machine, with stand-ins for what it lacks."""
    chosen, found = recording.load(path, config)
    made = plan.decide(chosen, found, LOADED)
    spare = {"torch": TORCH, "toolkit": TOOLKIT, "compiler": COMPILER}
    filled = {
        name: replace(getattr(made, name), value=getattr(made, name).value or item) for name, item in spare.items()
    }
    return ready(replace(made, problems=(), **filled))


def origins(item):
    """Where the sources are from, as the build says it."""
    return [
        {
            "sha256": row.index_sha256 or row.git_commit,
            "verified": True,
            "patches_sha256": dict.fromkeys(files, "0" * 64),
        }
        for row, files in ((p.upstream.value, [patch.file for patch in p.patches.value]) for p in item.plan.parts)
    ]


def record_of(item, **more):
    return write_record.record_of(item, origins(item), "3.11.7", **more)


def written(record):
    return json.dumps(record.to_json(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def strings(value):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (key, *strings(item))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_record_holds_no_folder_and_no_skipped_candidate(path):
    item = planned(path)
    text = [*strings(record_of(item).to_json())]
    assert [word for word in text if re.search(r"(^|[^\w.-])/|/(home|usr|opt|root|tmp|data|mnt)\b", word)] == []
    candidates = [*item.plan.torch.rejected, *item.plan.toolkit.rejected, *item.plan.compiler.rejected]
    told = [*(candidate.why for candidate in candidates), *item.plan.notes, item.plan.torch.because]
    assert not {sentence for sentence in told if any(sentence in word for word in text)}


def test_record_holds_no_output_of_broken_candidates():
    item = planned(ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json")
    broken = plan.Rejected("g++ (/home/u/bin/g++)", "fatal error: /home/u/secret.h: password=hunter2")
    noted = replace(item.plan, compiler=replace(item.plan.compiler, rejected=(broken,)), notes=("hunter2",))
    assert "hunter2" not in written(record_of(replace(item, plan=noted)))


GOLDEN = ("schema-2", "schema-2-companion", "schema-2-patched")


@pytest.mark.parametrize("name", GOLDEN)
def test_record_round_trips_byte_for_byte(name):
    """A field may be added. A renamed or removed field needs a new schema number, and a reader for this number."""
    text = (RECORDS / f"{name}.json").read_text(encoding="utf-8")
    assert written(read_record(json.loads(text))) == text


def keys(value, path=""):
    """The names of a record's fields, however deep."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}.{key}"
            yield from keys(item, f"{path}.{key}")
    for item in value if isinstance(value, list) else ():
        yield from keys(item, f"{path}[]")


def test_record_names_do_not_depend_on_plan_names():
    item = planned(
        ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json", **{"with-causal-conv1d": "true", "arch": "9.0"}
    )
    record = record_of(item, variables=[VariableRecord("NVCC_APPEND_FLAGS", "-lineinfo")])
    agreed = {
        key for name in GOLDEN for key in keys(json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8")))
    }
    assert set(keys(json.loads(written(record)))) <= agreed
    assert {key for key in agreed if key.count(".") == 1} == {f".{key}" for key in record.to_json()}
    assert record.gpu_code.codes == ("90",)
    assert record.flags.nvcc[0] == "-gencode=arch=compute_90,code=sm_90"
    assert record.flags.cxx == ("-std=c++17", "-DMAMBA_STABLE_DRIVER=13000", "-DMAMBA_STABLE_PROJECT=mamba-ssm")
    assert (record.torch.version, record.torch.cuda, record.torch.cxx11_abi) == ("2.11.0+cu130", "13.0", True)
    assert record.torch.requirement == "torch>=2.4"
    assert (record.abi, record.repaired, record.portable, record.stripped) == ("stable", True, True, True)
    assert (record.compiler.kind, record.compiler.version) == ("gcc", "12.2.0")
    assert (record.sysroot.provider, record.sysroot.glibc, record.floor.promised.glibc) == ("zig", "2.17", "2.17")
    assert [source.name for source in record.sources] == ["mamba-ssm", "causal-conv1d"]
    assert record.upstream.extensions == ("selective_scan_cuda",)
    assert record.upstream.origin == "index"
    patched = record_of(planned(ROOT / "tests/facts/cuda13-mamba-2.2.4.json", repair="false"))
    assert [(item.file, item.kind) for item in patched.upstream.patches][:2] == [
        ("mamba-ssm/0002-cub-3-before-2.2.6.patch", "drift"),
        ("mamba-ssm/0008-complex-backward-of-several-groups.patch", "fix"),
    ]
    assert patched.upstream.origin == "git"
    assert not patched.repaired


PLAIN = st.text(max_size=8)


@patient
@given(st.from_type(BuildRecord))
def test_written_record_is_read_back(record):
    versions = tables.Floor("2.17", "3.4.21", "1.3.9", "")
    record = replace(
        record,
        schema=2,
        floor=replace(record.floor, promised=versions, measured=versions),
        torch=replace(record.torch, glibc="2.28", glibcxx="", cxxabi=""),
    )
    assert read_record(json.loads(json.dumps(record.to_json()))) == record


def test_field_of_a_later_backend_is_ignored():
    data = json.loads((RECORDS / "schema-2.json").read_text())
    expected = read_record(data)
    data["weather"] = {"today": "rain"}
    data["torch"]["colour"] = "red"
    assert read_record(data) == expected


def test_newer_schema_is_refused_with_a_fix():
    with pytest.raises(AuditError, match="has schema 3; this version reads schemas up to 2") as caught:
        read_record({"schema": 3})
    assert "the version that built it" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "promise", "flags"),
    [
        (
            "schema-1-wheel",
            audit.Promise(tables.Floor("2.17", "3.4.22", "1.3.10", "4.8.0"), ("90",), ("selective_scan_cuda",)),
            "-gencode=arch=compute_90,code=sm_90",
        ),
        (
            "schema-1-stable-companion",
            audit.Promise(
                tables.Floor("2.17", "3.4.19", "1.3.7", "4.8.0"),
                ("75", "80", "90", "100", "120", "PTX"),
                ("selective_scan_cuda", "causal_conv1d_cuda"),
                stable=True,
            ),
            "-gencode=arch=compute_75,code=sm_75",
        ),
        (
            "schema-1-patched-unrepaired",
            audit.Promise(None, ("75", "80", "90", "100", "120", "PTX"), ("selective_scan_cuda",)),
            "-gencode=arch=compute_75,code=sm_75",
        ),
    ],
)
def test_a_record_of_schema_1_keeps_its_promises_floors_and_flags(name, promise, flags):
    record = read_record(json.loads((RECORDS / f"{name}.json").read_text()))
    assert audit.recorded_promise(record) == promise
    assert record.torch_needs() == floors.TorchNeeds(
        "2.11.0+cu130", "record", floors.Asked("2.28"), floors.Asked("3.4.22"), floors.Asked("1.3.11")
    )
    assert record.flags.nvcc[0] == flags
    assert record.schema == 2
    assert record.upstream.verified
    assert record.gpu_code.written_by == "compact"
    assert (record.torch.version, record.torch.cuda) == ("2.11.0+cu130", "13.0")
    assert record.compiler.version
    assert read_record(json.loads(written(record))) == record


def test_record_of_schema_1_keeps_measurements():
    record = read_record(json.loads((RECORDS / "schema-1-wheel.json").read_text()))
    assert record.floor.measured == tables.Floor("2.14", "3.4.21", "1.3.9", "3.0")
    assert record.floor.effective.glibc == floors.Effective("2.28", "torch", "libtorch_cpu.so", "2.14", "2.28")
    assert record.sysroot.provider == "zig"
    patched = read_record(json.loads((RECORDS / "schema-1-patched-unrepaired.json").read_text()))
    assert [item.file for item in patched.upstream.patches] == ["mamba-ssm/0002-cub-3-before-2.2.6.patch"]
    assert len(patched.upstream.patches[0].sha256) == 64
    assert patched.floor.effective is None
    both = read_record(json.loads((RECORDS / "schema-1-stable-companion.json").read_text()))
    assert [source.name for source in both.sources] == ["mamba-ssm", "causal-conv1d"]


def places(value, path=()):
    """The path of every value in JSON."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


@patient
@given(st.sampled_from(sorted(path.name for path in RECORDS.glob("*.json"))), st.data())
def test_damaged_record_is_read_or_one_sentence(name, data):
    record = json.loads((RECORDS / name).read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        *path, key = data.draw(st.sampled_from([place for place in places(record) if place]))
        parent = record
        for step in path:
            parent = parent[step]
        if data.draw(st.booleans()) and isinstance(parent, dict):
            del parent[key]
        else:
            junk = st.one_of(st.none(), st.booleans(), st.integers(), PLAIN, st.just([]), st.just({}), st.just([1]))
            parent[key] = copy.deepcopy(data.draw(junk))
    sentence, found = "", None
    try:
        found = read_record(record)
    except AuditError as error:
        sentence = error.problems[0].found
    assert "\n" not in sentence
    if found is None:
        return
    audit.recorded_promise(found)
    floors.effective_floor([], found.torch_needs(), LOADED)
    written(found)


def test_record_names_the_system_needs_and_their_origin():
    item = planned(ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json")
    torch = floors.TorchNeeds("2.11.0+cu130", "libraries", floors.Asked("2.28", "libtorch_cpu.so"))
    effective = floors.effective_floor([("GLIBC_2.14", "libc.so.6", "memcpy")], torch, LOADED)
    told = record_of(item, floor=tables.Floor("2.14"), effective=effective).to_json()
    glibc = told["floor"]["effective"]["glibc"]
    assert glibc == {"version": "2.28", "set_by": "torch", "by": "libtorch_cpu.so", "wheel": "2.14", "torch": "2.28"}
    assert record_of(item).to_json()["floor"]["effective"] is None


def test_cached_and_new_zig_sysroot_are_recorded_alike():
    item = planned(ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json")
    cached = facts.Sysroot(facts.SysrootProvider.ZIG, "/home/u/.cache/x", "the cache", origin=facts.Origin.CACHE)
    fresh = facts.Sysroot(facts.SysrootProvider.ZIG, "/opt/env/zig", "ziglang 0.13", origin=facts.Origin.INDEX)
    assert record_of(replace(item, sysroot=cached)) == record_of(replace(item, sysroot=fresh))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("-lineinfo -O3", "-lineinfo -O3"),
        ("-I/home/u/include -L/opt/x/lib64 -O3", "-I{path} -L{path} -O3"),
        ("-isystem /opt/a,/opt/b:/opt/c", "-isystem {path},{path}:{path}"),
        ('-DPATH="/etc/x" --options-file=/home/u/o.txt', '-DPATH="{path}" --options-file={path}'),
        ("-DURL=https://user:pw@host.example/simple", "-DURL=https://***@host.example/simple"),
        ("-DHF_TOKEN=hf_abc -DAPI_KEY=xyz,1", "-DHF_TOKEN=*** -DAPI_KEY=***,1"),
        ("-Iinclude/cub -DA=a/b", "-Iinclude/cub -DA=a/b"),
    ],
)
def test_a_variable_is_recorded_without_folders_and_secrets(value, kept):
    assert write_record.compiler_variables({"NVCC_APPEND_FLAGS": value}) == (VariableRecord("NVCC_APPEND_FLAGS", kept),)


def test_value_of_a_secret_variable_is_replaced_everywhere():
    environment = {"NVCC_PREPEND_FLAGS": "-DX=s3cr3t-value", "SERVICE_TOKEN": "s3cr3t-value", "EDITOR": "vi"}
    assert write_record.compiler_variables(environment) == (VariableRecord("NVCC_PREPEND_FLAGS", "-DX=***"),)


@patient
@given(
    st.lists(st.from_regex(r"[a-z0-9_.]{1,8}", fullmatch=True), min_size=1, max_size=4),
    st.sampled_from(["", "-I", "-L", "--x="]),
)
def test_no_absolute_path_of_a_variable_is_recorded(parts, option):
    value = f"-O2 {option}/{'/'.join(parts)} -g"
    assert write_record.shown(value) == f"-O2 {option}{{path}} -g"
