"""What ``python -m PACKAGE_portable`` makes of a project's check, with a real torch."""

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
CODE = "import p_portable._check as c, p_portable._check_p as p; row = c._kernels(p); print(row.state, row.found)"


@pytest.mark.parametrize(
    ("error", "row"),
    [
        ("2e-3", "ok sums, fp32: as the reference (50% of what is allowed)"),
        ("8e-3", "failed sums: out is off by 2.0e-03 of its largest value; 1e-03 is allowed"),
        ("float('nan')", "failed sums: out is off by nan of its largest value; 1e-03 is allowed"),
        ("torch.zeros(3)", "failed sums: The size of tensor a (2) must match the size of tensor b (3)"),
    ],
)
def test_a_result_is_compared_with_its_reference(tmp_path, clean_env, torch_site, error, row):
    shutil.copytree(ROOT / "mamba_build_backend/payload/portable", tmp_path / "p_portable")
    (tmp_path / "p_portable/_check_p.py").write_text(CHECK.format(error=error))
    assert run(sys.executable, "-c", CODE, env=clean_env, cwd=tmp_path).stdout.startswith(row)
