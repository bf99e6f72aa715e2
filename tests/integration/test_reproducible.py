"""Two builds of one plan, in other folders, at other times, by other users: the same bytes."""

import getpass
import os
import re
import socket
import sys
import time
import zipfile

import pytest
from support import copy_tiny, only_wheel, pip_wheel, record_of, run

from mamba_build_backend.core.files import sha256

pytestmark = pytest.mark.cold  # Each build compiles: the cache would give the same bytes anyway.

# Like upstream's kernels: it defines nothing for other files, so nvcc has to make up a name for this file.
HIDDEN = """\
namespace { __device__ float kept[4]; }
template <typename T> __global__ void hidden(T* x) { *x = kept[0] + 1; }
template <typename T> void call(T* x) { hidden<<<1, 1>>>(x); }
template void call<float>(float*);
"""


def built(folder, name, env, *options, seconds=0):
    """The wheel of a copy of the tiny project whose files have this age."""
    project = copy_tiny(folder / name / "tiny")
    (project / "csrc" / "hidden.cu").write_text(HIDDEN)
    setup = project / "setup.py"
    setup.write_text(setup.read_text().replace('"csrc/tiny_kernel.cu"]', '"csrc/tiny_kernel.cu", "csrc/hidden.cu"]'))
    for path in project.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)
    home = folder / name / "home"
    home.mkdir()
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(home)}
    pip_wheel(project, folder / name / "dist", {**env, **own}, *options, isolated=False)
    return only_wheel(folder / name / "dist")


def differing(one, other):
    with zipfile.ZipFile(one) as a, zipfile.ZipFile(other) as b:
        assert a.namelist() == b.namelist()
        names = [name for name in a.namelist() if a.read(name) != b.read(name) and not name.endswith("/RECORD")]
        dates = {item.date_time for archive in (a, b) for item in archive.infolist()}
        for name in names:
            if name.endswith(".json"):
                lines = [archive.read(name).decode().splitlines() for archive in (a, b)]
                names.append([pair for pair in zip(*lines) if pair[0] != pair[1]][:5])
    return names, dates


def test_builds_are_reproducible_and_hold_no_build_path(tmp_path, clean_env, cache, torch_site, gxx):
    who = {"USER": "builders-name", "LOGNAME": "builders-name", "HOSTNAME": "builders-host"}
    one = built(tmp_path, "one", {**clean_env, **who})
    time.sleep(2.1)  # a zip file counts in twos
    # The first makes its sysroot, the other finds one.
    more = ["-C", f"build-dir={tmp_path}/kept", "-C", f"cache-dir={cache}"]
    other = built(tmp_path, "the-other-one", clean_env, *more, seconds=100_000)
    assert differing(one, other)[0] == []
    assert sha256(one) == sha256(other)

    secrets = [str(tmp_path), str(torch_site), "builders-", "mamba-build-"]
    secrets += [name for name in (getpass.getuser(), socket.gethostname()) if len(name) > 5]  # "root" is also a word
    with zipfile.ZipFile(one) as archive:
        for name in archive.namelist():
            # The name of the backend, and its files.
            content = re.sub(rb"mamba-build-(backend|record)", b"", archive.read(name))
            for secret in secrets:
                assert secret.encode() not in content, f"{secret} in {name}"
    assert record_of(one)["torch"]["version"]


def test_source_date_epoch_sets_the_time_of_every_file(tmp_path, clean_env, cache, torch_site, gxx):
    epoch, options = {"SOURCE_DATE_EPOCH": "1700000000"}, ["-C", f"cache-dir={cache}"]
    one, other = (built(tmp_path, name, {**clean_env, **epoch}, *options) for name in ("one", "other"))
    assert sha256(one) == sha256(other)
    assert {date[:3] for date in differing(one, other)[1]} == {(2023, 11, 14)}


def test_invalid_source_date_epoch_is_one_sentence_and_leaves_nothing(tiny, clean_env, tmp_path):
    env = {**clean_env, "SOURCE_DATE_EPOCH": "tomorrow", "MAMBA_BUILD_CACHE_DIR": str(tmp_path / "cache")}
    code = "import sys; sys.path.insert(0, '.'); import mamba_build_backend as b; b.build_wheel(sys.argv[1])"
    done = run(sys.executable, "-c", code, tmp_path / "dist", env=env, cwd=tiny, check=False)
    assert done.returncode == 2
    assert "SOURCE_DATE_EPOCH is 'tomorrow'; a whole number of seconds since 1970 is needed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for name in ("cache", "dist") for path in (tmp_path / name).rglob("*") if path.is_file()]
