"""The build commands of the README and of docs/, as they stand there, on a project of two files."""

import shutil
import sys

import pytest
from snippets import all_blocks
from support import activated, environment_with_torch, run


@pytest.fixture(scope="module")
def python(tmp_path_factory, torch_site):
    return environment_with_torch(tmp_path_factory.mktemp("snippets") / "venv", torch_site)


def commands():
    """Each command once, with the first place where it stands."""
    found = {}
    for block in all_blocks("tiny"):
        for command in block.commands:
            found.setdefault(command, block)
    return sorted(found.items())


@pytest.mark.parametrize(("command", "block"), commands(), ids=lambda item: str(item)[:60])
def test_a_documented_build_command_builds(command, block, tiny, env, python, torch_site, tmp_path):
    active = activated(env, python)
    uv = shutil.which("uv")
    active["PATH"] += f":{uv.rpartition('/')[0]}" if uv else ""
    line = command.replace("/path/to/site-packages", str(torch_site))
    for name in ("mamba_ssm_portable-*.whl", "my_project-*.whl"):
        line = line.replace(name, "tiny_cuda-*.whl")
    run("sh", "-c", line, env=active, cwd=tiny)
    assert sys.executable != str(python)
