"""A wheel holds no name of its builder.

The build runs with canaries as names in every variable, path and tool output; the test searches all bytes.
"""

import os
import zipfile
from pathlib import Path

from support import nvcc_home, only_wheel, pip_wheel, record_of

CANARY = "canary"
SECRET = "canarysecret0815"
FAKE = """\
#!/bin/sh
echo "canaryoutput of $USER: token={secret} in $HOME" >&2
echo "canaryoutput 1.2.3 {secret}"
exit {status}
"""
_WORDS = ("USER", "LOGNAME", "SUDO_USER", "USERNAME", "HOSTNAME", "HOST", "COMPUTERNAME", "MAIL", "NAME", "EMAIL", "GIT_AUTHOR_NAME",
          "GIT_COMMITTER_EMAIL", "DEBEMAIL", "SLURM_JOB_NAME", "SLURM_JOB_USER", "CI_PROJECT_NAME", "GITHUB_ACTOR", "CONDA_PROMPT_MODIFIER",
          "PS1", "LANG_OF_MINE", "PACKAGER")  # fmt: skip
_SECRETS = ("HF_TOKEN", "GH_PAT", "DB_PWD", "API_KEY", "AWS_SECRET_ACCESS_KEY", "TWINE_PASSWORD", "NETRC_PASSPHRASE")
_FLAGS = ("CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS")
_FOLDERS = (
    "HOME",
    "TMPDIR",
    "OLDPWD",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "CPATH",
    "C_INCLUDE_PATH",
    "LIBRARY_PATH",
    "LD_RUN_PATH",
    "PYTHONPYCACHEPREFIX",
)


def canaries(folder: Path, env: dict[str, str]) -> dict[str, str]:
    """The environment of a user whose every name is a canary."""
    out = dict(env)
    for name in _WORDS:
        out[name] = f"{CANARY}{name.lower().replace('_', '')}"
    for name in _SECRETS:
        out[name] = SECRET
    for name in _FOLDERS:
        place = folder / f"{CANARY}-{name.lower()}"
        place.mkdir()
        out[name] = str(place)
    for name in _FLAGS:
        out[name] = (
            f"-L{folder}/{CANARY}-flags" if name == "LDFLAGS" else f"-I{folder}/{CANARY}-flags -DMY_TOKEN={SECRET}"
        )
    out["NVCC_APPEND_FLAGS"] = f"-I{folder}/{CANARY}-nvcc -DMY_TOKEN={SECRET}"
    out["NVCC_PREPEND_FLAGS"] = f"-DURL_OF_MINE=https://{CANARY}user:{SECRET}@host.example/x"
    out["PIP_EXTRA_INDEX_URL"] = f"https://{CANARY}user:{SECRET}@127.0.0.1:9/simple"
    toolkit = folder / f"{CANARY}-cuda"
    toolkit.symlink_to(nvcc_home())
    out["CUDA_HOME"] = str(toolkit)
    tools = folder / f"{CANARY}-bin"
    tools.mkdir()
    for program in ("g++-9", "g++-4.8", "clang++-7", "nvidia-smi", "x86_64-conda-linux-gnu-g++"):
        (tools / program).write_text(FAKE.format(secret=SECRET, status=int("clang" not in program)))
        (tools / program).chmod(0o755)
    out["PATH"] = f"{tools}{os.pathsep}{env['PATH']}"
    return out


def test_no_byte_of_a_wheel_names_its_builder(tiny, env, tmp_path):
    project = tmp_path / f"{CANARY}-project"
    tiny.rename(project)
    given = canaries(tmp_path, env)
    given["MAMBA_BUILD_CACHE"] = "off"
    done = pip_wheel(project, tmp_path / f"{CANARY}-dist", given, "-C", "verbose=true", isolated=False)
    assert SECRET not in done.stdout + done.stderr
    wheel = only_wheel(tmp_path / f"{CANARY}-dist")
    with zipfile.ZipFile(wheel) as archive:
        held = {item.filename: archive.read(item) + item.comment + item.extra for item in archive.infolist()}
    assert any(name.endswith(".so") for name in held)
    found = [name for name, data in held.items() if CANARY.encode() in (name.encode() + data).lower()]
    assert found == []
    assert CANARY.encode() not in wheel.read_bytes().lower()
    # The build still prints the variables that reached a compiler.
    variables = {item["name"]: item["value"] for item in record_of(wheel)["variables"]}
    assert set(variables) >= {"NVCC_APPEND_FLAGS", "NVCC_PREPEND_FLAGS"}
    assert "***" in variables["NVCC_APPEND_FLAGS"]
