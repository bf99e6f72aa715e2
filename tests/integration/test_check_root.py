"""manylinux/check-root as a program: with an engine that records its arguments, and in a root of local files."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import ROOT, lacking, packed_wheel

SCRIPT = ROOT / "manylinux" / "check-root"
MACHINE = os.uname().machine

ENGINE = """\
#!{python} -IS
import json, os, sys
with open({calls!r}, "a") as calls:
    print(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]), file=calls)
sys.exit({status})
"""

# check-root in a process that has changed before it starts.
CHANGED = """\
import gettext, locale, os, runpy, shutil, sys
sys.argv = sys.argv[1:]
main = runpy.run_path(sys.argv[0])["main"]
{change}
sys.exit(main())
"""
NOBODY = CHANGED.format(change="os.geteuid() or os.setuid(65534)")
ANOTHER_USER = CHANGED.format(change="os.geteuid = lambda: 65534")
WITHOUT_DEBOOTSTRAP = CHANGED.format(
    change="""\
which, os.geteuid = shutil.which, lambda: 0
shutil.which = lambda name, **more: None if name == "debootstrap" else which(name, **more)"""
)


@pytest.fixture
def check(tmp_path):
    """Run check-root in a temporary folder with its own cache."""

    def run(*arguments, before=(), **environ):
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), **environ}
        command = [sys.executable, *before, SCRIPT, *map(str, arguments)]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert f'File "{SCRIPT}"' not in done.stderr, done.stderr
        return done

    return run


@dataclass
class Asked:
    """The request that an engine received."""

    engine: str
    options: list
    image: str
    script: str
    command: list

    @property
    def volumes(self):
        return [self.options[n + 1] for n, word in enumerate(self.options) if word == "-v"]

    @property
    def setup(self):
        return self.script.splitlines()[1]

    @property
    def program(self):
        """The Python that the command finds as python3."""
        (name,) = re.findall(r"command -v (\S+)\);", self.script)
        return name


@pytest.fixture
def contained(check, tmp_path):
    """Run check-root with only engines on PATH; gives the finished process and the engine's request, or None."""

    def run(*arguments, engines=("docker",), status=0):
        programs, calls = tmp_path / "programs", tmp_path / "calls"
        shutil.rmtree(programs, ignore_errors=True)
        programs.mkdir()
        for name in engines:
            (programs / name).write_text(ENGINE.format(python=sys.executable, calls=str(calls), status=status))
            (programs / name).chmod(0o755)
        calls.write_text("")
        done = check(*arguments, PATH=str(programs))
        words = [json.loads(line) for line in calls.read_text().splitlines()]
        if not words:
            return done, None
        (call,) = words
        at = call.index("sh")
        assert call[at : at + 4 : 3] == ["sh", "sh"]
        assert call[at + 1] == "-c"
        return done, Asked(call[0], call[1 : at - 1], call[at - 1], call[at + 2], call[at + 4 :])

    return run


@pytest.fixture
def wheel(tmp_path):
    """A wheel of this tag whose extension module is not a library."""

    def make(tag="cp39-cp39", name="selective_scan_cuda"):
        files = {f"{name}.so": b"\x7fELF", "mamba_ssm/__init__.py": b""}
        return packed_wheel(tmp_path, files, f"{name}_portable-2.3.0-{tag}-manylinux_2_17_{MACHINE}.whl")

    return make


@pytest.fixture
def torch(tmp_path):
    """A folder that holds what looks like a torch."""
    (tmp_path / "site" / "torch").mkdir(parents=True)
    (tmp_path / "site" / "torch" / "__init__.py").write_text("")
    return tmp_path / "site"


def sentence(done, status=2):
    """The one that it ended with, and no more than commands behind it."""
    first, *ways = done.stderr.splitlines()
    assert done.returncode == status, done.stderr
    assert first.startswith("check-root: error: ")
    assert done.stdout == ""
    return first[len("check-root: error: ") :] + "".join("\n" + line for line in ways)


# --- a container ---


def test_missing_engine_is_one_sentence_with_a_fix(contained, wheel):
    said = sentence(contained("--image", "ubuntu:20.04", "--wheel", wheel(), engines=())[0], 8)
    assert said.startswith("docker or podman is needed to run the image ubuntu:20.04, and is not installed\n")
    assert "fix:  apt-get install podman" in said
    assert "fix:  sudo manylinux/check-root --wheel" in said
    done, asked = contained("--image", "a", "--engine", "podman", "--wheel", wheel())
    assert sentence(done, 8).startswith("podman is needed to run the image a, and is not installed")
    assert asked is None


def test_named_engine_comes_before_the_one_on_path(contained, wheel):
    arguments = ("--image", "ubuntu:20.04", "--wheel", wheel())
    assert contained(*arguments, engines=("podman",))[1].engine == "podman"
    assert contained(*arguments, engines=("docker", "podman"))[1].engine == "docker"
    assert contained(*arguments, "--engine", "podman", engines=("docker", "podman"))[1].engine == "podman"


@pytest.mark.parametrize(
    ("image", "address", "tag", "setup", "program"),
    [
        ("manylinux2014", f"quay.io/pypa/manylinux2014_{MACHINE}", "cp39", "true", "/opt/python/cp39-cp39/bin/python"),
        ("manylinux_2_28", f"quay.io/pypa/manylinux_2_28_{MACHINE}", "cp312", "true", "/opt/python/cp312-cp312/bin/python"),
        ("manylinux_2_28_aarch64", "quay.io/pypa/manylinux_2_28_aarch64", "cp39", "true", "/opt/python/cp39-cp39/bin/python"),
        ("a.mirror/manylinux2014_x86_64:1", "a.mirror/manylinux2014_x86_64:1", "cp39", "true", "/opt/python/cp39-cp39/bin/python"),
        ("ubuntu:20.04", "ubuntu:20.04", "cp39", "apt-get install -qy --no-install-recommends python3.9 libgomp1", "python3.9"),
        ("python:3.12-slim", "python:3.12-slim", "cp312", "command -v python3.12 ||", "python3.12"),
        ("rockylinux:8", "rockylinux:8", "cp39", "dnf install -qy python39 libgomp", "python3.9"),
        ("rockylinux:8", "rockylinux:8", "cp312", "dnf install -qy python3.12 libgomp", "python3.12"),
        ("opensuse/leap:15.6", "opensuse/leap:15.6", "cp311", "zypper -nq install python311 libgomp1", "python3.11"),
        ("somebody/linux:1", "somebody/linux:1", "cp311", "true", "python3.11"),
    ],
)  # fmt: skip
def test_image_name_decides_how_the_wheel_gets_its_python(contained, wheel, image, address, tag, setup, program):
    done, asked = contained("--image", image, "--wheel", wheel(f"{tag}-{tag}"))
    assert done.returncode == 0, done.stderr
    assert asked.image == address
    assert asked.setup == setup if setup == "true" else setup in asked.setup
    assert asked.program == program
    assert asked.command[:2] == ["python3", "-c"]
    assert asked.command[3:] == ["selective_scan_cuda"]
    assert subprocess.run(["sh", "-n", "-c", asked.script], check=False).returncode == 0


def test_bound_folders_are_read_only_except_out(contained, wheel, torch, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    arguments = ("--wheel", wheel(), "--torch", torch, "--bind", more, "--out", "made/out")
    asked = contained("--image", "ubuntu:20.04", *arguments)[1]
    assert asked.options[:4] == ["run", "--rm", "--security-opt", "label=disable"]
    unpacked, *others = asked.volumes
    assert re.fullmatch(r"/\S+/wheel:/wheel:ro", unpacked)
    assert others == [f"{torch}:/torch:ro", f"{more}:{more}:ro", f"{tmp_path}/made/out:/out:rw"]
    assert "exec env" in asked.script
    assert "PYTHONPATH=/wheel:/torch " in asked.script
    assert not Path(unpacked.partition(":")[0]).exists(), "what was unpacked is gone"


def test_the_command_and_its_status_are_passed_on(contained, wheel):
    command = ["sh", "-c", "a 'b' \"$c\"", "--", "--image"]
    done, asked = contained("--image", "ubuntu:20.04", "--wheel", wheel(), "--", *command, status=3)
    assert asked.command == command
    assert done.returncode == 3


def test_image_is_used_unchanged_without_a_wheel(contained):
    asked = contained("--image", "ubuntu:20.04", "--", "ldd", "--version")[1]
    assert asked.setup == "true"
    assert "command -v" not in asked.script
    assert contained("--image", "ubuntu:20.04", "--python", "3.8", "--", "true")[1].program == "python3.8"


def test_wheel_for_many_pythons_runs_with_the_oldest_or_the_named_one(contained, wheel):
    arguments = ("--image", "manylinux2014", "--wheel", wheel("cp310-abi3"))
    assert contained(*arguments)[1].program == "/opt/python/cp310-cp310/bin/python"
    assert contained(*arguments, "--python", "3.12")[1].program == "/opt/python/cp312-cp312/bin/python"
    assert sentence(contained(*arguments, "--python=3.9")[0]) == (
        "the wheel is for Python 3.10 and newer, and --python is 3.9\ncheck-root: error:   fix:  --python 3.10"
    )
    # With a wheel for a single Python next to it, that Python wins.
    both = ("--image", "a:1", "--wheel", wheel("cp312-cp312", "causal_conv1d_cuda"), wheel("cp310-abi3"))
    assert contained(*both)[1].program == "python3.12"
    assert contained(*both)[1].command[3:] == ["causal_conv1d_cuda", "selective_scan_cuda"]


def test_unsuitable_python_is_refused_before_the_engine_starts(contained, wheel):
    done, asked = contained("--image", "a:1", "--wheel", wheel(), "--python", "3.12")
    assert sentence(done) == (
        "the wheel is for Python 3.9, and --python is 3.12\ncheck-root: error:   fix:  --python 3.9"
    )
    assert asked is None
    done, asked = contained("--image", "a:1", "--wheel", wheel(), wheel("cp312-cp312", "causal_conv1d_cuda"))
    assert sentence(done) == "the wheel is for Python 3.9, and another for Python 3.12: no Python runs both"
    assert asked is None


def test_chosen_python_is_python3_in_the_container(contained, tmp_path):
    """The image's shell, run here."""
    there = tmp_path / "image"
    there.mkdir()
    own = there / "python3.99"
    own.write_text('#!/bin/sh\necho "own $*, $PYTHONPATH"\n')
    own.chmod(0o755)
    asked = contained("--image", "somebody/linux:1", "--python", "3.99", "--", "true")[1]
    script = asked.script.replace("/tmp", str(there))

    def shell(path):
        command = ["sh", "-c", script, "sh", "python3", "-c", "a b"]
        return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)

    done = shell(f"{there}{os.pathsep}{os.environ['PATH']}")
    assert done.stdout == "own -c a b, /wheel\n", done.stderr
    own.unlink()
    missing = shell(os.environ["PATH"])
    assert missing.returncode == 8
    assert missing.stderr == "check-root: error: somebody/linux:1 has no Python 3.99: there is no python3.99\n"


# --- the arguments ---


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "give --wheel, or a command after --"),
        (["--root", "/", "ls"], "'ls': put the command after --"),
        (["--image", "a", "--root", "/", "--", "ls"], "--image runs a container"),
        (["--image", "a", "--make"], "--image runs a container"),
        (["--image", "a", "--package", "g++-9", "--", "ls"], "--image runs a container"),
        (["--root", "/", "--python", "3.9", "--", "ls"], "--python is only for --image"),
        (["--image", "a", "--python", "cp39", "--", "ls"], "cp39 is not a Python version, such as 3.9"),
        (["--engine", "lxc", "--", "ls"], "invalid choice: 'lxc'"),
        (["--rooot", "/", "--", "ls"], "unrecognized arguments: --rooot"),
    ],
)
def test_a_bad_argument_is_named(check, arguments, named):
    done = check(*arguments)
    assert done.returncode == 2
    assert "check-root: error: " in done.stderr
    assert named in done.stderr


def test_a_wheel_that_is_missing_or_damaged_is_named(check, wheel, tmp_path):
    assert sentence(check("--wheel", "no.whl")) == "no.whl does not exist"
    whole = wheel()
    data = whole.read_bytes()
    # Cut off, another file altogether, and with bytes that are not what was packed.
    at = data.index(b"mamba_ssm/__init__.py")
    packed = packed_wheel(tmp_path, {"a.so": b"0123456789" * 999}, f"a-1-cp39-cp39-linux_{MACHINE}.whl").read_bytes()
    broken = packed[:40] + b"\xff" * 8 + packed[48:]
    for bad in (data[:at], b"<html>", b"", broken):
        whole.write_bytes(bad)
        said = sentence(check("--wheel", whole))
        assert said.startswith(f"{whole.name} is damaged, or is not a wheel: ")
        assert f"fix:  python -m mamba_build_backend audit {whole}" in said
    assert "is damaged, or is not a wheel" in sentence(check("--wheel", tmp_path))


def test_wheel_without_extensions_needs_a_command(contained, tmp_path):
    pure = packed_wheel(tmp_path, {"pure/__init__.py": b"", "pure/_C.so": b""}, "pure-1.0-py3-none-any.whl")
    said = sentence(contained("--image", "a:1", "--wheel", pure)[0])
    assert said.startswith("pure-1.0-py3-none-any.whl: no extension module at the top of the wheel\n")
    done, asked = contained("--image", "a:1", "--wheel", pure, "--", "python3", "-c", "import pure")
    assert done.returncode == 0
    assert asked.command == ["python3", "-c", "import pure"]


def test_folder_without_torch_and_missing_folder_are_named(check, wheel, torch, tmp_path):
    given = ("--root", "/", "--wheel", wheel())
    (tmp_path / "empty").mkdir()
    said = sentence(check(*given, "--torch", tmp_path / "empty"))
    assert said.startswith(f"{tmp_path}/empty contains no torch\n")
    assert "fix:  check-root --torch " in said
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "torch").symlink_to(torch / "torch")
    assert "is a link, which does not work in another root" in sentence(check(*given, "--torch", tmp_path / "linked"))
    assert sentence(check(*given, "--bind", "nowhere")) == "nowhere is not a folder"
    assert "wheel's place" in sentence(check(*given, "--out", f"{SCRIPT}/wheel's place"), 8)


# --- a root ---


def test_unsuitable_root_is_refused_with_the_missing_parts(check, wheel, tmp_path):
    root = tmp_path / "root"
    given = ("--root", root, "--wheel", wheel())
    assert sentence(check(*given)) == f"{root} is not the root of a Linux: it has no usr"
    (root / "usr" / "bin").mkdir(parents=True)
    assert sentence(check(*given)) == f"{root} has no Python: {root}/usr/bin/python3 does not exist"
    (root / "usr" / "bin" / "python3").symlink_to("python3.11")
    said = sentence(check(*given))
    assert said.startswith(f"{root} has Python 3.11, and the wheel is for Python 3.9\n")
    assert "fix:  manylinux/check-root --image manylinux2014" in said
    newer = ("--root", root, "--wheel", wheel("cp312-abi3"))
    assert "and the wheel is for Python 3.12 and newer" in sentence(check(*newer))


@pytest.mark.parametrize("python", ["python3.11", "/etc/alternatives/python3", None])
def test_python_that_fits_or_hides_its_version_is_tried(check, wheel, python, tmp_path):
    program = tmp_path / "usr" / "bin" / "python3"
    program.parent.mkdir(parents=True)
    program.symlink_to(python) if python else program.touch()
    # It comes as far as the question who may enter.
    done = check("--root", tmp_path, "--wheel", wheel("cp310-abi3"), before=("-c", ANOTHER_USER))
    assert sentence(done, 8).startswith("only root can make and enter another root file system\n")


@pytest.mark.parametrize("arguments", [("--root", "/", "--", "true"), ("--make",)])
def test_user_who_is_not_root_gets_the_command_with_sudo(check, arguments, tmp_path):
    done = check(*arguments, before=("-c", NOBODY), TMPDIR="/tmp")
    first, sudo, engine = sentence(done, 8).splitlines()
    assert first == "only root can make and enter another root file system"
    assert re.search(rf"fix:  sudo \S+ {re.escape(str(SCRIPT))} {' '.join(arguments)}$", sudo)
    assert "fix:  manylinux/check-root --image ubuntu:20.04" in engine
    assert not (tmp_path / "cache").exists()


def test_missing_debootstrap_is_one_sentence_with_a_fix(check):
    said = sentence(check("--make", before=("-c", WITHOUT_DEBOOTSTRAP)), 8)
    assert said.startswith("debootstrap is not installed; it makes the old Linux\n")
    assert "fix:  apt-get install debootstrap" in said


def test_a_cache_folder_that_cannot_be_written_is_named(check, tmp_path):
    (tmp_path / "cache").write_text("")
    said = sentence(check("--make", before=("-c", WITHOUT_DEBOOTSTRAP)), 8)
    assert said.startswith(f"{tmp_path}/cache/mamba-build-backend/roots cannot be written: ")
    assert "fix:  XDG_CACHE_HOME=/another/folder" in said


# --- as root ---


@pytest.fixture
def spaces():
    """Root, where it may make namespaces and mount in them: not in every container."""
    command = ["unshare", "--mount", "--pid", "--fork", "--net", "--ipc", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        lacking("root, with the right to make namespaces and to mount")


@pytest.fixture
def debootstrap(check, spaces, tmp_path):
    """A program of that name, which makes a root of two files."""
    programs = tmp_path / "programs"
    programs.mkdir()

    def make(*arguments, end=""):
        (programs / "debootstrap").write_text(f"""\
#!/bin/sh
echo "$@" >>{tmp_path}/asked
mkdir -p "$4/usr/bin" "$4/debootstrap" "$4/var/cache/apt/archives"
ln -s python3.9 "$4/usr/bin/python3"
echo >"$4/var/cache/apt/archives/python3.deb"
{end}
""")
        (programs / "debootstrap").chmod(0o755)
        done = check("--make", *arguments, PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
        asked = tmp_path / "asked"
        return done, asked.read_text().splitlines() if asked.exists() else []

    return make


def test_root_is_cached_by_its_packages(debootstrap, tmp_path):
    roots = tmp_path / "cache" / "mamba-build-backend" / "roots"
    left = roots / ".bullseye.draft-killed"
    left.mkdir(parents=True)
    done, (asked,) = debootstrap()
    assert done.stdout == f"{roots}/bullseye\n", done.stderr
    assert re.fullmatch(rf"--variant=minbase --include=libgomp1,python3 bullseye {roots}/\.bullseye\.draft-\w+", asked)
    assert os.readlink(roots / "bullseye" / "usr" / "bin" / "python3") == "python3.9"
    assert not list(roots.rglob("*.deb"))
    assert not left.exists()
    assert (roots / "bullseye").stat().st_mode & 0o777 == 0o755
    assert len(debootstrap()[1]) == 1
    done, (_, other) = debootstrap("--suite", "trixie", "--package", "g++-13", "--mirror", "http://mirror/debian")
    assert done.stdout == f"{roots}/trixie+g++-13\n"
    assert other.startswith("--variant=minbase --include=g++-13,libgomp1,python3 trixie ")
    assert other.endswith(" http://mirror/debian")


def test_failed_debootstrap_is_one_sentence_and_leaves_nothing(debootstrap, tmp_path):
    end = 'echo "E: Failed getting release file"; echo "gpgv: bad signature" >"$4/debootstrap/debootstrap.log"; exit 1'
    done, _ = debootstrap(end=end)
    first, *others = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (8, "")
    assert first.startswith("making bullseye in ")
    assert others[:3] == [
        "check-root: error: debootstrap ended with exit code 1:",
        "  E: Failed getting release file",
        "  gpgv: bad signature",
    ]
    assert "fix:  manylinux/check-root --mirror http://MIRROR/debian" in others[3]
    lock = tmp_path / "cache" / "mamba-build-backend" / "roots" / ".bullseye.lock"
    assert list(lock.parent.iterdir()) == [lock]
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_status_of_a_command_in_a_root_is_passed_on(check, spaces):
    assert check("--root", "/", "--", "sh", "-c", "exit 3").returncode == 3
    done = check("--root", "/", "--", "sh", "-c", "echo said; echo complained >&2")
    assert (done.stdout, done.stderr, done.returncode) == ("said\n", "complained\n", 0)
    assert check("--root", "/", "--", "no-such-program").returncode == 127


def test_command_writes_are_discarded_except_in_out(check, spaces, wheel, tmp_path):
    mark = Path(f"/var/check-root-test-{os.getpid()}")
    bound = tmp_path / "bound"
    bound.mkdir()
    (bound / "file").write_text("bound\n")
    try:
        script = f"echo x >{mark} && cat {mark} && echo x >/tmp/x && cat {bound}/file && echo made >/out/made"
        done = check("--root", "/", "--bind", bound, "--out", "out", "--", "sh", "-c", script)
        assert (done.returncode, done.stdout) == (0, "x\nbound\n"), done.stderr
        assert not mark.exists()
    finally:
        mark.unlink(missing_ok=True)
    assert (tmp_path / "out" / "made").read_text() == "made\n"
    for there in (f"{bound}/file", "/wheel/selective_scan_cuda.so"):
        done = check("--root", "/", "--bind", bound, "--wheel", wheel(), "--", "sh", "-c", f"echo y >{there}")
        assert done.returncode != 0
        assert "Read-only file system" in done.stderr
    assert (bound / "file").read_text() == "bound\n"
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_command_in_a_root_sees_no_network_processes_or_environment_of_the_host(check, spaces):
    script = "tail -n +3 /proc/net/dev | cut -d: -f1; ls /proc | grep -c '^[0-9]'; echo $CALLERS; pwd; echo $PYTHONPATH"
    done = check("--root", "/", "--", "sh", "-c", script, CALLERS="own")
    interfaces, processes, own, folder, path = done.stdout.splitlines()
    assert interfaces.strip() == "lo"
    assert int(processes) <= 4
    assert (own, folder, path) == ("", "/tmp", "/wheel")


def test_network_option_shares_the_network_and_resolver_files(check, spaces):
    script = "tail -n +3 /proc/net/dev | cut -d: -f1; echo =; cat /etc/resolv.conf /etc/hosts"
    here = Path("/etc/resolv.conf").read_text() + Path("/etc/hosts").read_text()
    interfaces, _, files = check("--root", "/", "--network", "--", "sh", "-c", script).stdout.partition("=\n")
    own = [line.partition(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    assert interfaces.split() == own
    assert files == here


@pytest.fixture
def system_python(spaces):
    if not os.path.islink("/usr/bin/python3"):
        lacking("a Python of the system, /usr/bin/python3")


def test_crash_in_a_root_gives_the_status_that_a_shell_gives(check, system_python):
    code = "import ctypes; ctypes.string_at(0)"
    assert check("--root", "/", "--", "/usr/bin/python3", "-c", code).returncode == 128 + signal.SIGSEGV


def test_ending_check_root_ends_the_command(spaces, tmp_path):
    mark = f"check-root-{os.getpid()}"
    command = [sys.executable, SCRIPT, "--root", "/", "--", "sh", "-c", f"echo here; sleep 600; : {mark}"]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "here\n"
        process.terminate()
        assert process.stderr.read() == "check-root: Interrupted. All child processes were stopped.\n"
    assert process.returncode == 130
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in _read(path)]
    assert left == []


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ""


def test_damaged_extension_module_fails_the_import_in_a_root(check, system_python, wheel):
    done = check("--root", "/", "--wheel", wheel("cp30-abi3"))
    assert done.returncode == 1
    assert "ImportError: /wheel/selective_scan_cuda.so: file too short" in done.stderr
