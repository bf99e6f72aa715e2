"""Public reports: the answer has to name the true cause and the right fix, and its commands can be typed."""

import functools
import io
import re
import shlex

import pytest
from support import ROOT, check_typed

from mamba_build_backend.compile import diagnosis_text, known_failures, long_log
from mamba_build_backend.core import commands, facts
from mamba_build_backend.core._compat import tomllib
from mamba_build_backend.core.errors import parts_of, ways, with_comment
from mamba_build_backend.core.projects import project_names

LOGS = ROOT / "tests" / "logs"
SAMPLES = sorted(path for path in LOGS.glob("*.txt") if not path.name.startswith("harmless"))
FIELD = tomllib.loads((LOGS / "field.toml").read_text(encoding="utf-8"))["case"]
SHELLS = {
    "pip": facts.Shell(),
    "uv-without-pip": facts.Shell(pip=False, uv=True, manager=facts.Manager.VENV),
    "pip-without-uv": facts.Shell(uv=False, root=False),
    "conda": facts.Shell(manager=facts.Manager.CONDA),
    "pixi": facts.Shell(manager=facts.Manager.PIXI),
    "container": facts.Shell(manager=facts.Manager.SYSTEM, root=True, container=True),
}


def first(path, shell=None):
    here = commands.Here(shell or facts.Shell())
    return known_failures.explain(path.read_text(encoding="utf-8"), here).explanations[0]


def test_field_logs_are_fifty():
    assert len(FIELD) == 50
    assert all((LOGS / row["sample"]).is_file() for row in FIELD)


@pytest.mark.parametrize("row", FIELD, ids=lambda row: row["sample"])
def test_answer_has_the_cause_and_the_fix(row):
    told = first(LOGS / row["sample"])
    assert told.id == row["sample"].partition(".")[0]
    said = " ".join((told.cause, *told.fix))
    for words in row["says"]:
        assert words in said, (words, said)
    for words in row.get("never", []):
        assert not [fix.text for fix in told.fixes if fix.is_command and words in fix.text], words


# ---------------------------------------------------------------- what is typed


@functools.cache
def explained(path, shell):
    return known_failures.explain(path.read_text(encoding="utf-8"), commands.Here(SHELLS[shell])).explanations


def test_every_command_can_be_pasted():
    """In every other shell, and with the programs themselves: integration/test_told_everywhere.py."""
    check_typed(
        sorted(
            {fix.text for path in SAMPLES for item in explained(path, "pip") for fix in item.fixes if fix.is_command}
        )
    )


def test_a_pasted_line_is_its_command_and_a_comment():
    for path in SAMPLES:
        for item in explained(path, "pip"):
            for fix in item.fixes:
                if fix.is_command:
                    line = "\n".join(ways((with_comment(fix.text, fix.why),)))
                    assert shlex.split(line.replace("  fix:  ", "", 1), comments=True) == shlex.split(fix.text), line


def test_answer_for_uv_without_pip_never_uses_pip():
    for path in SAMPLES:
        notebook = re.search(r"(?m)^\s*[!%]pip", path.read_text(encoding="utf-8"))
        for item in explained(path, "uv-without-pip"):
            for fix in item.fixes:
                if fix.is_command and not notebook and "pixi run" not in fix.text:
                    assert "-m pip " not in fix.text, (path.name, fix.text)


def test_no_command_touches_a_project_that_the_log_does_not_name():
    for path in SAMPLES:
        check_named(path)


def check_named(path):
    text = path.read_text(encoding="utf-8")
    named = {name for name in project_names() if re.search(name.replace("-", "[-_]") + r"|" + EXTENSION[name], text)}
    others = set(project_names()) - named
    for item in explained(path, "pip")[:1]:
        for fix in item.fixes:
            touched = {name for name in others if re.search(rf"(?:install|uninstall)\b[^&|]*[ '=]{name}\b", fix.text)}
            if fix.is_command and named:
                # mamba-ssm needs causal-conv1d, so a command may name both.
                assert not touched - PAIR.get(item.id, set()), fix.text
            assert not re.search(r"uninstall -y (?:mamba-ssm|torch)\b", fix.text)


EXTENSION = {"mamba-ssm": r"selective_scan|mamba_ssm|mamba2?\b|Mamba", "causal-conv1d": "causal_conv1d"}
PAIR = {"causal-conv1d-none": {"causal-conv1d"}, "causal-conv1d-signature": {"causal-conv1d"}}


@pytest.mark.parametrize(
    "line",
    [
        "ImportError: /v/lib/python3.10/site-packages/flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so: undefined symbol: _ZN3c104cuda9SetDeviceEi",
        "ImportError: /v/lib/python3.10/site-packages/torchvision/_C.so: undefined symbol: _ZN3c106detail14torchCheckFailEPKcS2_jRKSs",
        "ImportError: /v/lib/python3.10/site-packages/torch/lib/libtorch_cuda.so: undefined symbol: ncclCommResume",
        "ImportError: /v/lib/python3.10/site-packages/torch/lib/libtorch_cuda.so: undefined symbol: cudnnGetErrorString",
        "/v/lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by /v/lib/python3.10/site-packages/deepspeed_ops_cuda.so)",
    ],
)
def test_module_of_another_project_gets_no_command_of_ours(line):
    (told, *_) = known_failures.explain(f"Traceback:\n{line}\n").explanations
    assert told.fixes
    assert not [fix.text for fix in told.fixes if re.search(r"mamba.ssm|causal.conv1d", fix.text)]


# ---------------------------------------------------------------- how it looks, and how much it reads


@pytest.mark.parametrize("width", [60, 80, 100])
def test_an_answer_is_short_and_its_first_command_is_near_the_top(width):
    for row in FIELD:
        check_look(row, width)


def check_look(row, width):
    diagnosis = known_failures.explain((LOGS / row["sample"]).read_text(encoding="utf-8"))
    lines = diagnosis_text.diagnosis_text(diagnosis, width=width).splitlines()
    first_way = next(number for number, line in enumerate(lines) if line.startswith(("  fix:", "  do:")))
    assert first_way <= 12 if width >= 80 else 20
    for line in lines:
        assert (
            len(line) <= width or line.startswith(("found:", "  fix:", "  or:", "  do:")) or " " not in line.strip()
        ), line


def test_a_long_log_is_read_in_a_bounded_memory(tmp_path):
    """In a log of 300 MB, too: integration/test_log_bounds.py."""
    noise = b"[12/99] building something that is of no interest to anybody\n" * 5_000
    message = b"ImportError: libcudart.so.13: cannot open shared object file: No such file or directory\n"
    text = long_log.read_log(io.BytesIO(noise * 4 + message + noise * 4))
    assert len(text) < long_log.WHOLE
    assert known_failures.explain(text).explanations[0].id == "libcudart-missing"


@pytest.mark.parametrize("path", SAMPLES[::40], ids=lambda path: path.stem)
def test_a_message_in_the_middle_of_a_long_log_is_found(path):
    noise = "a line of output like many others\n" * 7_000
    text = long_log.read_log(io.BytesIO(f"{noise}{path.read_text(encoding='utf-8')}\n{noise}".encode()))
    ids = [item.id for item in known_failures.explain(text).explanations]
    # A message that is only valid at the end of a log is in the middle here.
    assert path.name.partition(".")[0] in ids or path.name.startswith(("wheel-download-hangs", "building-without"))


def test_fix_has_a_command_and_a_comment():
    assert parts_of("a 'b (c)'   (d (e) f)") == ("a 'b (c)'", "d (e) f")
    assert parts_of("python -c 'print(1)'") == ("python -c 'print(1)'", "")


def test_failure_of_our_build_prints_the_setting_to_add():
    text = (LOGS / "killed-by-memory.txt").read_text(encoding="utf-8")
    told = known_failures.explain(text, commands.Here(building=True)).explanations[0]
    assert told.own_fix[0].startswith("-C jobs=1   (")
    assert not [way for way in told.own_fix if "mamba-ssm-portable -C" in way]
    assert ways(told.own_fix)[0] == "  do:   add -C jobs=1 to the command"


def test_folder_with_our_name_makes_no_command_ours():
    here = commands.Here(facts.Shell(python="~/mamba-ssm/bin/python"), "~/mamba-ssm-portable")
    (told, *_) = known_failures.explain(
        "NameError: name 'selective_scan_cuda_core' is not defined\n", here
    ).explanations
    assert told.fix[0].startswith("~/mamba-ssm/bin/python -m pip install --no-build-isolation ./kernels/selective_scan")


def test_missing_cuda_version_is_read_from_torch():
    line = "OSError: CUDA_HOME environment variable is not set. Please set it to your CUDA install root.\n"
    (told, *_) = known_failures.explain(line).explanations
    assert not re.search(r"\b1[123][.-]\d", " ".join(told.fix))
    assert "\"cuda-toolkit=$(python -c 'import torch; print(torch.version.cuda)')\"" in " ".join(told.fix)
    (told, *_) = known_failures.explain(f"torch.__version__  = 2.6.0+cu126\n{line}").explanations
    assert "cuda-12.6" in " ".join(told.fix)


def told_first(text):
    return known_failures.explain(text).explanations[0]


def test_package_in_brackets_is_the_package_of_the_log():
    text = "OSError: CUDA_HOME environment variable is not set.\nERROR: Failed to build installable wheels for some pyproject.toml based projects (causal-conv1d)\n"
    assert "-C upstream=causal-conv1d" in told_first(text).fix[0]


def test_compiler_has_the_package_name_of_the_system():
    line = '#error "You\'re trying to build PyTorch with a too old version of GCC. We need GCC 9 or later."\n'
    on_eight = " ".join(told_first(f"Rocky Linux release 8.10\n{line}").fix)
    assert "sudo dnf install gcc-toolset-12-gcc-c++" in on_eight
    assert "devtoolset" not in on_eight
    assert "devtoolset-10" in " ".join(told_first(f"CentOS Linux release 7.9\n{line}").fix)
    assert "gxx_linux-aarch64=10" in " ".join(told_first(f"Linux gh200 aarch64\n{line}").fix)


@pytest.mark.parametrize(
    ("typed_by_hand", "name", "words"),
    [
        ("selective_scan_cuda_oflex", "vmamba-kernels", "./kernels/selective_scan"),
        ("sm_120 is not compatible", "torch-not-for-gpu", "--torch-backend=cu128"),
        ("sm_60 is not compatible", "torch-not-for-gpu", "--torch-backend=cu126"),
        ("Thor: sm_110 is not compatible", "torch-not-for-gpu", "--torch-backend=cu13"),
        ("no module named mamba_ssm", "no-module-of-ours", "install ./mamba-ssm-portable"),
        ("cannot import name Block", "mamba-block-moved", "modules.block import Block"),
        ("ptxas does not know sm_121a", "triton-ptxas-arch", "TRITON_PTXAS_PATH"),
        ("nvcc not found", "nvcc-not-found", "install ./mamba-ssm-portable"),
    ],
)
def test_a_few_words_suffice(typed_by_hand, name, words):
    told = told_first(typed_by_hand)
    assert told.id == name
    assert words in told.fix[0]


@pytest.mark.parametrize(
    "line",
    ["hello", "mamba_ssm", "pip install mamba-ssm", "loss is nan", "error", r"C:\Users\b\train.py: loss 0.3", "torch"],
)
def test_meaningless_words_are_unknown(line):
    assert not known_failures.explain(line).explanations
