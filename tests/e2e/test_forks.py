"""A typical fork, built as its user builds it.

The package has another name, one CUDA file is changed, and setup.py needs a GPU and a README.
"""

import json
import re
import sys
import zipfile

import pytest
from support import HURRIED, ROOT, only_wheel, record_of, released_tree, run


@pytest.fixture
def tree(tmp_path):
    """causal-conv1d 1.6.0 as ``vision_conv1d``."""
    tree = released_tree("causal-conv1d==1.6.0", tmp_path)
    (tree / "causal_conv1d").rename(tree / "vision_conv1d")
    for path in tree.rglob("*.py"):
        path.write_text(re.sub(r"\bcausal_conv1d(_cuda)?\b(?!\.)", r"vision_conv1d\1", path.read_text()))
    setup = tree / "setup.py"
    asking = "print('for', torch.cuda.get_device_capability(torch.device('cuda')))\n\nwith open("
    text = setup.read_text().replace("with open(", asking, 1)
    setup.write_text(text.replace('"csrc/vision_conv1d', '"csrc/causal_conv1d'))
    kernel = tree / "csrc" / "causal_conv1d_update.cu"
    kernel.write_text(kernel.read_text() + "\n// as we want it\n")
    (tree / "vision_conv1d" / "both_ways.py").write_text("x = 1\n")
    for lost in ("README.md", "PKG-INFO"):
        (tree / lost).unlink()
    return tree


def test_a_fork_is_built_audited_and_imported(tree, tmp_path, torch_site, clean_env):
    out = tmp_path / "dist"
    command = [
        sys.executable,
        "-m",
        "mamba_build_backend",
        "build",
        tree,
        "-w",
        out,
        "--no-isolation",
        "-C",
        "arch=9.0",
    ]
    run(*command, env={**clean_env, **HURRIED}, cwd=ROOT)
    wheel = only_wheel(out)
    assert re.fullmatch(r"vision_conv1d-1\.6\.0\+fork[0-9a-f]{8}-cp39-abi3-manylinux.*_x86_64\.whl", wheel.name)
    source = record_of(wheel)["upstream"]
    assert (source["name"], source["verified"], source["origin"]) == ("vision-conv1d", False, "path")
    assert source["like"] == "causal-conv1d 1.6.0"
    assert {"csrc/causal_conv1d_update.cu", "vision_conv1d/both_ways.py"} <= set(source["changed"])
    assert source["sha256"][:8] in wheel.name
    assert [item["file"] for item in source["patches"]]
    assert source["packages"] == ["vision_conv1d"]

    audit = [sys.executable, "-m", "mamba_build_backend", "audit", "--json", "--torch", torch_site, wheel]
    assert json.loads(run(*audit, env=clean_env, cwd=ROOT).stdout)["problems"] == []
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = "import torch, vision_conv1d_cuda as m; print(sorted(name for name in dir(m) if name.startswith('causal')))"
    done = run(sys.executable, "-c", code, env={**clean_env, "PYTHONPATH": str(site)}, cwd=site)
    assert "causal_conv1d_fwd" in done.stdout
