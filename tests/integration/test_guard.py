"""mamba_ssm_portable as it is in a wheel, with a torch that is a few lines of Python."""

import json
import shutil
import subprocess
import sys

import pytest
from support import ROOT

PAYLOAD = ROOT / "mamba_build_backend" / "payload" / "portable"
BUILT_FOR = """
DISTRIBUTION, VERSION = "mamba-ssm-portable", "2.3.2.post1"
UPSTREAM, PACKAGES = "mamba-ssm 2.3.2.post1", ("mamba_ssm",)
ABI, TORCH, CUDA, DRIVER, CXX11_ABI = "torch", "2.11", "13.0", "13.0", True
TRANSFORMERS = (("2.4", "<5.15,!=5.9.0"),)
EXTENSIONS, RECORD = ("selective_scan_cuda",), "mamba-build-record.json"
"""
TORCH = """
class version: cuda = {cuda!r}
class _C: _GLIBCXX_USE_CXX11_ABI = {abi}
__version__ = {version!r}
"""
INSTALL_NEWER = "python -m pip install 'torch>=2.4'"
INSTALL = "python -m pip install 'torch==2.11.*'"


@pytest.fixture
def site(tmp_path):
    shutil.copytree(PAYLOAD, tmp_path / "mamba_ssm_portable", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "mamba_ssm_portable" / "_built_for.py").write_text(BUILT_FOR)
    (tmp_path / "mamba_ssm").mkdir()
    (tmp_path / "mamba_ssm" / "__init__.py").write_text("import mamba_ssm_portable._guard\n")
    return tmp_path


def python(site, *arguments):
    return subprocess.run([sys.executable, *arguments], cwd=site, capture_output=True, text=True, check=False)


def give_torch(site, version="2.11.0+cu130", cuda="13.0", *, abi=True):
    (site / "torch.py").write_text(TORCH.format(version=version, cuda=cuda, abi=abi))


@pytest.mark.parametrize("version", ["2.11.0+cu130", "2.11.1+cu132", "2.11.0a0+git123"])
def test_guard_accepts_a_torch_that_fits(site, version):
    give_torch(site, version, "13.2" if "132" in version else "13.0")
    assert python(site, "-c", "import mamba_ssm").returncode == 0


@pytest.mark.parametrize(
    ("version", "cuda", "abi", "found"),
    [
        ("2.12.0+cu130", "13.0", True, "torch 2.12.0+cu130 is installed"),
        ("2.1.2+cu121", "12.1", False, "torch 2.1.2+cu121 is installed"),
        ("2.11.0+cu128", "12.8", True, "torch 2.11.0+cu128 is a build for CUDA 12.8"),
        ("2.11.0+cpu", None, True, "torch 2.11.0+cpu is a build without CUDA"),
        ("2.11.0+cu130", "13.0", False, "has the C++ ABI 0, the wheel has 1"),
    ],
)
def test_guard_names_both_torches_and_the_command(site, version, cuda, abi, found):
    give_torch(site, version, cuda, abi=abi)
    done = python(site, "-c", "import mamba_ssm")
    assert done.returncode == 1
    assert (
        "ImportError: mamba-ssm 2.3.2.post1 (mamba-ssm-portable) was built for torch 2.11 with CUDA 13" in done.stderr
    )
    assert found in done.stderr
    other_cuda = "is a build" in found
    way = "uv pip install --reinstall 'torch==2.11.*' --torch-backend=cu130" if other_cuda else INSTALL
    assert f"fix:  {way}" in done.stderr
    assert "undefined symbol" not in done.stderr


@pytest.fixture
def stable(site):
    built_for = BUILT_FOR.replace('"torch", "2.11"', '"stable", "2.4"')
    (site / "mamba_ssm_portable" / "_built_for.py").write_text(built_for)
    return site


@pytest.mark.parametrize(
    ("version", "cuda", "abi"),
    [
        ("2.4.1+cu121", "12.1", False),
        ("2.11rc1", "11.8", True),
        ("2.15.1+cu132", "13.2", False),
        ("2.11.0a0+85dd62e.nv25.12", "13.1", True),
        ("3.0.0a0+git1", "14.0", True),
    ],
)
def test_stable_wheel_accepts_every_later_torch_for_any_cuda(stable, version, cuda, abi):
    give_torch(stable, version, cuda, abi=abi)
    assert python(stable, "-c", "import mamba_ssm").returncode == 0


@pytest.mark.parametrize(
    ("version", "cuda", "found"),
    [
        ("2.3.1+cu121", "12.1", "torch 2.3.1+cu121 is installed"),
        ("1.13.1+cu117", "11.7", "torch 1.13.1+cu117 is installed"),
        ("2.13.0+cpu", None, "torch 2.13.0+cpu is a build without CUDA"),
    ],
)
def test_stable_wheel_names_the_oldest_torch(stable, version, cuda, found):
    give_torch(stable, version, cuda)
    done = python(stable, "-c", "import mamba_ssm")
    assert done.returncode == 1
    assert "was built for torch 2.4 and newer, for any CUDA, and " + found in done.stderr
    other_cuda = "is a build" in found
    way = "uv pip install --reinstall 'torch>=2.4' --torch-backend=auto" if other_cuda else INSTALL_NEWER
    assert f"fix:  {way}" in done.stderr


def test_guard_ignores_a_torch_for_rocm(stable):
    give_torch(stable, "2.11.0+rocm6.4", None)
    with (stable / "torch.py").open("a") as file:
        file.write("version.hip = '6.4'\n")
    done = python(stable, "-c", "import mamba_ssm")
    assert "and torch 2.11.0+rocm6.4 is a build for ROCm." in done.stderr
    assert "fix:  python -m pip install --no-build-isolation --no-binary mamba-ssm mamba-ssm" in done.stderr
    assert "--torch-backend" not in done.stderr


@pytest.mark.parametrize(
    ("torch", "transformers", "fits"),
    [("2.4.1+cu121", "5.15.0", False), ("2.4.1+cu121", "5.14.2", True), ("2.6.0+cu124", "5.20.1", True)],
)
def test_guard_names_the_transformers_that_fit_an_old_torch(stable, torch, transformers, fits):
    give_torch(stable, torch, "12.1")
    (stable / f"transformers-{transformers}.dist-info").mkdir()
    text = f"Metadata-Version: 2.1\nName: transformers\nVersion: {transformers}\n"
    (stable / f"transformers-{transformers}.dist-info" / "METADATA").write_text(text)
    done = python(stable, "-c", "import mamba_ssm")
    assert (done.returncode == 0) == fits, done.stderr
    if not fits:
        assert f"transformers {transformers} is installed, which is too new for torch {torch}." in done.stderr
        assert "fix:  python -m pip install 'transformers<5.15,!=5.9.0'" in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "raise OSError('libcublas.so.12: cannot open shared object file\\nand more')",
            "(libcublas.so.12: cannot open",
        ),
        ("raise RuntimeError()", "torch cannot be imported (RuntimeError)"),
        ("", "the module torch here is not torch, or only a remnant of torch"),
        ("__version__ = 'strange'", "or only a remnant of torch"),
        ("__version__ = None", "or only a remnant of torch"),
        ("__version__ = '2.11.0'", "or only a remnant of torch"),
        ("__version__ = '2.11.0'\nversion = 5", "or only a remnant of torch"),
        ("def __getattr__(name): raise ZeroDivisionError(name)", "or only a remnant of torch"),
        ("class Odd(Exception): pass\nraise Odd()", "torch cannot be imported (Odd)"),
    ],
)
def test_unusable_torch_is_one_sentence(stable, text, says):
    (stable / "torch.py").write_text(text)
    done = python(stable, "-c", "import mamba_ssm")
    last = done.stderr.partition("ImportError: ")[2]
    assert says in last.splitlines()[0]
    assert last.splitlines()[1].startswith("  fix:  python -m pip install ")
    assert python(stable, "-m", "mamba_ssm_portable").stderr == ""


def test_missing_torch_is_an_import_error(site):
    (site / "torch.py").write_text("raise ImportError('no torch here')")
    done = python(site, "-c", "import mamba_ssm")
    assert "torch cannot be imported (no torch here)" in done.stderr
    assert "pip install 'torch==2.11.*'" in done.stderr


def test_check_table_shows_failures_and_exits_with_1(site):
    give_torch(site, "2.12.0+cu130")
    done = python(site, "-m", "mamba_ssm_portable")
    assert done.returncode == 1
    assert done.stderr == ""
    assert "torch 2.12.0+cu130 is installed" in done.stdout
    assert done.stdout.splitlines()[-1] == "not working: wheel, torch"


def test_check_table_as_json(site):
    give_torch(site, "2.12.0+cu130")
    data = json.loads(python(site, "-m", "mamba_ssm_portable", "--json").stdout)
    assert data["schema"] == 1
    assert {row["check"]: row["state"] for row in data["rows"]}["torch"] == "failed"


def test_build_info_reports_missing_metadata(site):
    done = python(site, "-c", "import mamba_ssm_portable; mamba_ssm_portable.build_info()")
    assert "LookupError: mamba-ssm-portable is not installed with its metadata" in done.stderr


def test_upstream_package_next_to_this_one_is_reported_with_a_command(site):
    (site / "mamba_ssm-2.2.2.dist-info").mkdir()
    (site / "mamba_ssm-2.2.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mamba-ssm\nVersion: 2.2.2\n"
    )
    give_torch(site)
    done = python(site, "-m", "mamba_ssm_portable")
    assert done.returncode == 1
    assert "mamba-ssm 2.2.2 also owns mamba_ssm/, and the two overwrite each other" in done.stdout
    assert "python -m pip uninstall mamba-ssm mamba-ssm-portable" in done.stdout
    assert "installed twice" in done.stdout.splitlines()[-1]


def test_stand_in_is_not_a_second_owner(site):
    (site / "mamba_ssm-2.3.0+portable.dist-info").mkdir()
    (site / "mamba_ssm-2.3.0+portable.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mamba-ssm\nVersion: 2.3.0+portable\n"
    )
    give_torch(site)
    assert "overwrite each other" not in python(site, "-m", "mamba_ssm_portable").stdout


@pytest.mark.parametrize("version", ["2.11a0", "2.11rc1", "2.11.0rc2", "2.11.0.dev20260101"])
def test_prerelease_belongs_to_its_minor_version(site, version):
    give_torch(site, version)
    done = python(site, "-c", "import mamba_ssm")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "record", ["", "null", "[]", "{}", "{", "[" * 100_000, '{"floor": 1, "gpu_code": []}', '{"floor": {"measured": {"glibc": 5}}}']
)  # fmt: skip
def test_check_table_survives_a_damaged_record(site, record):
    give_torch(site)
    info = site / "mamba_ssm_portable-2.3.2.post1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mamba-ssm-portable\nVersion: 2.3.2.post1\n")
    (info / "mamba-build-record.json").write_text(record)
    done = python(site, "-m", "mamba_ssm_portable")
    assert (done.returncode, done.stderr) == (1, "")
    assert "wheel" in done.stdout
    assert "damaged" in done.stdout


def test_check_table_survives_a_torch_that_raises(site):
    give_torch(site)
    with (site / "torch.py").open("a") as file:
        file.write("class cuda:\n    def is_available():\n        raise OSError('libcuda went away')\n")
    (site / "selective_scan_cuda.py").write_text("")
    done = python(site, "-m", "mamba_ssm_portable")
    assert done.stderr == ""
    assert "torch" in done.stdout
