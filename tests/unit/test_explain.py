"""Known failures: explain recognises a real sample of each message in any log, and nothing else."""

import json
import re

import pytest
from support import ROOT, typed

from mamba_build_backend.compile import diagnosis_text, known_failures

LOGS = sorted((ROOT / "tests" / "logs").glob("*.txt"))
KNOWN = {failure.id: failure for failure in known_failures.load_failures()}
SAMPLES = [path for path in LOGS if not path.name.startswith("harmless")]


def expected(path):
    return path.name.partition(".")[0]


def command(*arguments, text=None):
    return typed("explain", *arguments, text=text or "")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_real_sample_is_recognised(path):
    diagnosis = known_failures.explain(path.read_text(encoding="utf-8"))
    assert [item.id for item in diagnosis.explanations][:1] == [expected(path)]
    best = diagnosis.explanations[0]
    assert best.line
    assert best.fix
    assert "{" not in best.cause + "".join(best.fix), "a group that was not filled in"


def test_every_failure_of_the_table_has_a_sample():
    assert {expected(path) for path in SAMPLES} == set(KNOWN)


@pytest.mark.parametrize(
    "path", [path for path in LOGS if path.name.startswith("harmless")], ids=lambda path: path.stem
)
def test_harmless_text_is_not_explained(path):
    assert known_failures.explain(path.read_text(encoding="utf-8")).explanations == ()


@pytest.mark.parametrize("prefix", ["#41 35.50 ", "2026-11-22T09:26:13.1234567Z ", "      "])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_prefixes_of_docker_ci_and_pip_hide_nothing(path, prefix):
    text = "".join(f"{prefix}{line}\n" for line in path.read_text(encoding="utf-8").splitlines())
    assert expected(path) in [item.id for item in known_failures.explain(text).explanations]


GCCS = re.compile(r"fatal error: ([\w./+-]+): No such file or directory")
WITHOUT_A_HEADER = [path for path in SAMPLES if GCCS.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", WITHOUT_A_HEADER, ids=lambda path: path.stem)
def test_a_header_that_clang_misses_is_the_same_failure(path):
    """zig is clang, and says it in other words than g++."""
    text = GCCS.sub(r"fatal error: '\1' file not found", path.read_text(encoding="utf-8"))
    assert expected(path) in [item.id for item in known_failures.explain(text).explanations]


@pytest.mark.parametrize(
    ("message", "id_"),
    [
        ("ImportError: /lib64/libc.so.6: version `GLIBC_2.32' not found (required by x.so)", "glibc-too-old"),
        ("version `GLIBCXX_3.4.29' not found", "libstdcxx-too-old"),
        ("version `CXXABI_1.3.13' not found", "cxxabi-too-old"),
        ("undefined symbol: _ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE", "undefined-symbol-new-abi"),
        ("undefined symbol: _ZN3c105ErrorC2ENS_14SourceLocationESs", "undefined-symbol-old-abi"),
        ("undefined symbol: _ZN3c104cuda9SetDeviceEi", "undefined-symbol-other-torch"),
        ("The detected CUDA version (11.7) mismatches the version that was used to compile PyTorch (12.1)", "cuda-mismatch"),
        ("mamba_ssm is only supported on CUDA 11.6 and above.", "cuda-below-11-6"),
        ("NameError: name 'bare_metal_version' is not defined", "nvcc-not-found"),
        ("ModuleNotFoundError: No module named 'torch'", "build-isolation-no-torch"),
        ("fatal error: stdatomic.h: No such file or directory", "host-compiler-too-old"),
        ("The current installed version of g++ (13.2.0) is greater than the maximum required version by CUDA 11.8", "host-compiler-too-new-for-cuda"),
        ("std_function.h:435:145: error: parameter packs not expanded with '...':", "nvcc-11-5-with-gcc-11"),
        ("#error -- unsupported GNU version! gcc versions later than 11 are not supported!", "nvcc-unsupported-host-compiler"),
        ("ATen.h:4:2: error: #error C++20 or later compatible compiler is required to use ATen.", "cxx-standard-too-low"),
        ("RuntimeError: Error compiling objects for extension", "extension-compile-failed"),
        ("ninja: error: '/a.cpp', needed by '/a.o', missing and no known rule to make it", "ninja-source-missing"),
        ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "no-kernel-image"),
        ("A module that was compiled using NumPy 1.x cannot be run in\nNumPy 2.1.3 as it may crash", "numpy-2"),
        ("AttributeError: module 'torch.utils._pytree' has no attribute 'register_pytree_node'", "transformers-pytree"),
        ("cannot import name 'GenerateDecoderOnlyOutput' from 'transformers.generation'", "transformers-generation-names"),
        ("ImportError: libopenblas.so.0: cannot open shared object file", "libopenblas-missing"),
        ("libtorch_cpu.so: undefined symbol: iJIT_NotifyEvent", "ijit-notifyevent"),
        ("urllib.error.URLError: <urlopen error [Errno 110] Connection timed out>", "wheel-download-failed"),
        ("http.client.RemoteDisconnected: Remote end closed connection without response", "wheel-download-failed"),
        ("c++: fatal error: Killed signal terminated program cc1plus", "killed-by-memory"),
        ("sccache: error: failed to compile: cicc terminated (signal: 9)", "killed-by-memory"),
        ("sccache: Compiler killed by signal 9", "killed-by-memory"),
        ("The command '/bin/sh -c pip install mamba-ssm' returned a non-zero code: exit code: 137", "killed-by-memory"),
        ("zipfile.BadZipFile: File is not a zip file", "wheel-broken"),
        ("ERROR: mamba_ssm-2.3.0.whl is not a supported wheel on this platform.", "wheel-not-for-this-platform"),
    ],
)  # fmt: skip
def test_explain_knows_the_required_messages(message, id_):
    assert known_failures.explain(f"some line\n{message}\nanother\n").explanations[0].id == id_


@pytest.mark.parametrize(
    "words",
    [
        "GLIBC_2.32' not found", "GLIBCXX_3.4.29", "CXXABI_1.3.13", "undefined symbol", "detected CUDA version mismatches",
        "only supported on CUDA 11.6 and above", "bare_metal_version", "No module named 'torch'", "stdatomic.h",
        "greater than the maximum required version by CUDA", "parameter packs not expanded", "unsupported GNU version",
        "C++20 or later", "Error compiling objects", "missing and no known rule to make it", "no kernel image is available",
        "compiled using NumPy 1.x", "register_pytree_node", "GenerateDecoderOnlyOutput", "libopenblas.so.0",
        "iJIT_NotifyEvent", "urlopen error", "Remote end closed connection", "Killed", "exit 137", "BadZipFile",
        "is not a supported wheel",
    ],
)  # fmt: skip
def test_few_words_of_a_message_suffice(words):
    found = known_failures.explain(words).explanations
    assert found
    assert "{" not in found[0].cause + "".join(found[0].fix)


@pytest.mark.parametrize("words", ["Killed", "iJIT_", "no known rule to make it", "GLIBC_2.17"])
def test_few_words_do_not_suffice_in_a_log(words):
    log = f"some line of a log\nwith {words} in it, which need not be about that\n"
    assert known_failures.explain(log).explanations == ()


def test_the_first_real_error_is_found_above_the_frame():
    text = (ROOT / "tests" / "logs" / "extension-compile-failed.txt").read_text(encoding="utf-8")
    diagnosis = known_failures.explain(text)
    assert diagnosis.explanations[0].id == "extension-compile-failed"
    assert re.search(r"\berror\b", diagnosis.first_error)
    assert "Error compiling objects" not in diagnosis.first_error
    shown = diagnosis_text.diagnosis_text(diagnosis)
    assert diagnosis.first_error in shown


def test_a_cause_outranks_the_frames_around_it():
    text = "FAILED: a.o\nhost_config.h:143:2: error: #error -- unsupported GNU version! gcc versions later than 11 are not supported!\n"
    text += "ninja: build stopped: subcommand failed.\nRuntimeError: Error compiling objects for extension\n"
    diagnosis = known_failures.explain(text)
    assert [item.id for item in diagnosis.explanations] == ["nvcc-unsupported-host-compiler"]
    assert diagnosis.first_error == ""


def test_colours_and_carriage_returns_do_not_hide_a_message():
    text = "\x1b[31mImportError: libopenblas.so.0: cannot open shared\x1b[0m object file\r\n"
    assert known_failures.explain(text).explanations[0].id == "libopenblas-missing"


@pytest.mark.parametrize("text", ["", "\n", "all is well", "a" * 100_000, "\x00\xff" * 50])
def test_unknown_log_gets_an_honest_answer(text):
    done = command(text=text)
    assert done.returncode == 1
    assert done.stdout.startswith("unknown: ")
    assert "doctor --save machine.json" in done.stdout
    assert "attach the whole log" in done.stdout


def test_an_unknown_log_still_gets_its_first_error():
    done = command(text="FAILED: a.o\na.cu(3): error: something new\nninja: error: other\n")
    assert done.returncode in (0, 1)
    assert "a.cu(3): error: something new" in done.stdout


def test_log_is_read_from_a_file_words_or_stdin(tmp_path):
    sample = ROOT / "tests" / "logs" / "glibc-too-old.txt"
    outputs = {
        command(sample).stdout,
        command(text=sample.read_text()).stdout,
        command("-", text=sample.read_text()).stdout,
    }
    assert len(outputs) == 1
    assert "cause:" in outputs.pop()
    done = command("name", "'bare_metal_version'", "is", "not", "defined")
    assert done.returncode == 0
    assert done.stdout.startswith("found:")


def test_json_has_the_same_answer():
    data = json.loads(command("--json", text="undefined symbol: iJIT_NotifyEvent").stdout)
    assert data["schema"] == 1
    assert data["known"] is True
    assert data["explanations"][0]["id"] == "ijit-notifyevent"
    assert data["explanations"][0]["fix"]
    data = json.loads(command("--json", text="hello").stdout)
    assert (data["known"], data["explanations"]) == (False, [])


@pytest.mark.parametrize("name", ["build.log", "/no/such/file", "logs/none.txt"])
def test_missing_log_is_reported(name):
    done = command(name)
    assert done.returncode == 2
    assert f"there is no file {name}" in done.stderr


def test_a_folder_is_not_a_log(tmp_path):
    done = command(tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_log_in_another_encoding_is_read(tmp_path):
    (tmp_path / "b.log").write_bytes("错误: libopenblas.so.0: cannot open shared object file".encode("gb18030"))
    assert command(tmp_path / "b.log").returncode == 0


def test_all_shows_other_recognised_failures():
    text = "version `GLIBC_2.32' not found\nundefined symbol: iJIT_NotifyEvent\n"
    assert "less specific" in command(text=text).stdout
    assert command("--all", text=text).stdout.count("cause:") == 2
