"""What ``python -m PACKAGE_portable`` makes of a project's check, with a real torch."""

import re
import shutil
import sys

import pytest
from support import ROOT, run

CHECK = """
import torch
TITLE, COVERS = "sums", "fp32"
def results():
    reference = torch.tensor([1.0, 4.0])
    yield "out", reference + {error}, reference, 1e-3
"""
MORE = """
COVERS_MORE = "fp32 and fp64"
def more_results():
    reference = torch.tensor([1.0, 4.0], dtype=torch.float64)
    yield "more", reference + 8e-3, reference, 1e-3
"""
CODE = "import p_portable._check as c, p_portable._check_p as p; row = c._kernels(p); print(row.state, row.found)"


@pytest.mark.parametrize(
    ("error", "row"),
    [
        ("2e-3", "ok sums, fp32: match the reference (largest error 50% of the tolerance)"),
        ("8e-3", "failed sums: out is off by 2.0e-03 of its largest value; the tolerance is 1e-03"),
        ("float('nan')", "failed sums: out is off by nan of its largest value; the tolerance is 1e-03"),
        ("torch.zeros(3)", "failed sums: RuntimeError: The size of tensor a (2) must match the size of tensor b (3)"),
    ],
)
def test_a_result_is_compared_with_its_reference(tmp_path, clean_env, torch_site, error, row):
    shutil.copytree(ROOT / "mamba_build_backend/payload/portable", tmp_path / "p_portable")
    (tmp_path / "p_portable/_check_p.py").write_text(CHECK.format(error=error))
    assert run(sys.executable, "-c", CODE, env=clean_env, cwd=tmp_path).stdout.startswith(row)


def test_full_compares_more_cases(tmp_path, clean_env, torch_site):
    shutil.copytree(ROOT / "mamba_build_backend/payload/portable", tmp_path / "p_portable")
    (tmp_path / "p_portable/_check_p.py").write_text(CHECK.format(error="2e-3") + MORE)
    assert run(sys.executable, "-c", CODE, env=clean_env, cwd=tmp_path).stdout.startswith("ok sums, fp32:")
    said = run(sys.executable, "-c", CODE.replace("(p)", "(p, full=True)"), env=clean_env, cwd=tmp_path).stdout
    assert said.startswith("failed sums: more is off by")
    (tmp_path / "p_portable/_check_p.py").write_text(CHECK.format(error="2e-3") + MORE.replace("8e-3", "2e-3"))
    said = run(sys.executable, "-c", CODE.replace("(p)", "(p, full=True)"), env=clean_env, cwd=tmp_path).stdout
    assert said.startswith("ok sums, fp32 and fp64:")


CONV = """
import sys, types, torch
import check; check.CHANNELS = 8
torch.Generator = (lambda made: lambda device: made("cpu"))(torch.Generator)
torch.randn = (lambda made: lambda *shape, device, **given: made(*shape, **given))(torch.randn)

def causal_conv1d_fn(x, weight, bias, activation):
    return check._reference(x, weight, bias, activation).to(x.dtype)

class Short(torch.autograd.Function):
    # Upstream's backward: what lies before a last chunk of less than a vector is taken for zeros.
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight, bias)
        return causal_conv1d_fn(x, weight, bias, "silu")
    @staticmethod
    def backward(ctx, gradient):
        x, weight, bias = (item.detach().requires_grad_() for item in ctx.saved_tensors)
        chunk, vector = (512, 4) if x.dtype == torch.float32 else (1024, 8)
        start = (x.shape[-1] - 1) // chunk * chunk
        with torch.enable_grad():
            before = torch.ones_like(x)
            if start and x.shape[-1] - start < vector and x.stride(2) == 1:
                before[..., :start] = 0
            causal_conv1d_fn(x * before, weight, bias, "silu").backward(gradient)
        return x.grad, weight.grad, bias.grad

module = types.ModuleType("causal_conv1d")
module.causal_conv1d_fn = FUNCTION
sys.modules["causal_conv1d"] = module
for name, ours, reference, allowed in check.results():
    scale = reference.float().abs().max().item() or 1.0
    if not (ours.float() - reference.float()).abs().max().item() / scale <= allowed:
        print(name)
"""


def test_the_check_of_causal_conv1d_finds_a_short_last_chunk(tmp_path, clean_env, torch_site):
    shutil.copy(ROOT / "mamba_build_backend/projects/causal-conv1d/check.py", tmp_path)

    def wrong(function):
        return run(sys.executable, "-c", CONV.replace("FUNCTION", function), env=clean_env, cwd=tmp_path).stdout

    assert wrong("causal_conv1d_fn") == ""
    found = set(
        re.findall(
            r"^dx of (\d+) steps in torch.(\w+), channels first",
            wrong("lambda x, weight, bias, activation: Short.apply(x, weight, bias)"),
            re.MULTILINE,
        )
    )
    half = [*range(1025, 1032), *range(2049, 2056)]
    assert {int(length) for length, dtype in found if dtype == "float32"} == {513, 514, 515, 1025, 1026, 1027}
    assert all(
        {int(length) for length, dtype in found if dtype == name} == set(half) for name in ("float16", "bfloat16")
    )
    assert "channels last" not in wrong("lambda x, weight, bias, activation: Short.apply(x, weight, bias)")


def test_edge_checker_finds_injected_faults(clean_env, torch_site):
    done = run(sys.executable, ROOT / "tests/gpu/edges.py", "--self-test", env=clean_env, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 wrong", done.stdout


def test_fork_checker_finds_injected_faults(clean_env, torch_site):
    done = run(sys.executable, ROOT / "tests/gpu/forks.py", "--self-test", env=clean_env, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 wrong", done.stdout
