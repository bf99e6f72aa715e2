"""manylinux/Dockerfile and manylinux/build-and-prove, with a program as the engine that records its arguments."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from support import ROOT

from mamba_build_backend.core._compat import tomllib
from mamba_build_backend.tables import load_tables, minor

SCRIPT = ROOT / "manylinux" / "build-and-prove"
DOCKERFILE = (ROOT / "manylinux" / "Dockerfile").read_text(encoding="utf-8")
WHEEL = "mamba_ssm_portable-2.3.0-cp312-cp312-manylinux_2_24_x86_64.whl"

# The programs of the shell scripts. Nothing else is on PATH, so that the scripts find no engine of this machine.
PROGRAMS = ("basename", "bash", "cat", "dirname", "id", "mkdir", "mktemp", "rm", "tail", "tr", "uname")

# An engine. Files next to it hold its answers: glibc and Python of an image, and exit codes of commands.
ENGINE = """\
#!{python} -IS
import json, os, sys
argv = sys.argv[1:]
folder = os.environ["FAKE"]
answers = json.load(open(os.path.join(folder, "answers.json")))
with open(os.path.join(folder, "calls"), "a") as calls:
    print(json.dumps([os.path.basename(sys.argv[0]), *argv]), file=calls)
if argv == ["--version"]:
    print(answers.get("version", "Docker version 28.2.2"))
if argv == ["info"]:
    print(answers.get("info", "Server:"), file=sys.stderr if "info-status" in answers else sys.stdout)
kind = argv[0]
if "audit" in argv:
    kind = "audit"
elif "look" in argv:
    kind = "look"
    print(answers["images"].get(argv[argv.index("-c") - 1], "2.36\\nyes"))
elif "python" in argv:
    kind = "ask"
    print(answers.get("torch", "13.0 2.28 /opt/build/lib/python3.12/site-packages"))
elif "cp" in argv:
    kind = "cp"
elif "build" in argv[1:]:
    kind = "compile"
    print("\\n".join(f"/dist/{{name}}" for name in answers["wheels"]))
sys.exit(answers.get(kind + "-status", 0))
"""
ROOT_CHECKER = ENGINE.replace("kind = argv[0]", "sys.exit(answers.get(argv[1], 0))")


@pytest.fixture
def world(tmp_path):
    """Run build-and-prove in its own checkout with the named engines; gives the finished process and their requests."""
    checkout, programs = tmp_path / "check out", tmp_path / "bin"
    (checkout / "manylinux").mkdir(parents=True)
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(shutil.which(name))
    shutil.copy(SCRIPT, checkout / "manylinux")

    def program(path, text):
        path.write_text(text.format(python=sys.executable))
        path.chmod(0o755)

    program(checkout / "manylinux" / "check-root", ROOT_CHECKER)
    program(programs / "python3", "#!/bin/sh\n")

    def start(*arguments, engines=("docker",), environ=None, **answers):
        for name in engines:
            program(programs / name, ENGINE)
        answers = {"images": {}, "wheels": [WHEEL], **{key.replace("_", "-"): value for key, value in answers.items()}}
        (tmp_path / "answers.json").write_text(json.dumps(answers))
        (tmp_path / "calls").write_text("")
        env = {"PATH": str(programs), "FAKE": str(tmp_path), "HOME": str(tmp_path), **(environ or {})}
        command = [checkout / "manylinux" / "build-and-prove", *arguments]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        return done, [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]

    return start


def of(calls, *words):
    """The calls that hold these words."""
    return [call for call in calls if all(word in call for word in words)]


def pairs(call, option):
    """The values of an option that may be repeated."""
    return [call[n + 1] for n, word in enumerate(call) if word == option]


def images(calls):
    """The images that check-root was given."""
    return [pairs(call, "--image")[0] for call in of(calls, "check-root")]


def test_missing_engine_is_one_sentence_with_a_fix(world):
    done, calls = world(engines=())
    first, *ways = done.stderr.splitlines()
    assert done.returncode == 8
    assert first == (
        "build-and-prove: error: no docker on PATH; no podman on PATH: Docker or Podman is needed to run "
        f"quay.io/pypa/manylinux_2_28_{os.uname().machine}."
    )
    assert [re.sub(r"^build-and-prove: error:   (fix: |or:  ) ", "", line).split(" ", 1)[0] for line in ways] == [
        "apt-get", "python", "sudo",
    ]  # fmt: skip
    assert "manylinux/check-root --wheel" in ways[-1]
    assert not calls


def test_unresponsive_engine_differs_from_a_missing_one(world):
    done, calls = world("--engine", "docker", info="Cannot connect to the Docker daemon.", info_status=1)
    assert done.returncode == 8
    assert "docker does not answer: Cannot connect to the Docker daemon.:" in done.stderr
    assert calls == [["docker", "info"]]


def test_first_responsive_engine_or_only_the_named_one_is_used(world):
    assert of(world()[1], "build")[0][0] == "docker"
    assert {call[0] for call in world("--engine", "podman", engines=("docker", "podman"))[1]} == {
        "podman",
        "check-root",
    }


def test_the_image_is_built_from_the_arguments_and_the_wheel_in_it(world, tmp_path):
    done, calls = world("--image", "manylinux2014", "--cuda", "11.8", "--python", "cp39-cp39", "--torch", "2.0.1",
                        "--upstream", "mamba-ssm==2.3.0", "--upstream=causal-conv1d", "-C", "arch=8.0", "-Cjobs=2",
                        "--out", "a wheel's place", torch="11.7 2.17 /opt/build/lib/python3.9/site-packages")  # fmt: skip
    (image,) = of(calls, "build", "-f")
    tag = image[image.index("-t") + 1]
    assert image[image.index("-f") + 1] == f"{tmp_path}/check out/manylinux/Dockerfile"
    assert image[-1] == f"{tmp_path}/check out/manylinux/.."
    assert pairs(image, "--build-arg") == [
        f"IMAGE=quay.io/pypa/manylinux2014_{os.uname().machine}", "CUDA=11.8",
        "CUDA_IMAGE=nvidia/cuda:11.8.0-devel-rockylinux8", "PYTHON=cp39-cp39", "TORCH=2.0.1",
    ]  # fmt: skip
    assert re.fullmatch(r"mamba-ssm-portable:[\w.-]{1,128}", tag)

    (compiled,) = of(calls, "run", "build")
    assert compiled[compiled.index(tag) + 1 :] == [
        "build", "mamba-ssm==2.3.0", "causal-conv1d", "-C", "arch=8.0", "-C", "jobs=2", "-w", "/dist",
    ]  # fmt: skip
    assert pairs(compiled, "-v") == [f"{tmp_path}/a wheel's place:/dist"]
    assert pairs(compiled, "--user") == [f"{os.getuid()}:{os.getgid()}"]
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{tmp_path}/a wheel's place/{WHEEL}"]


def cuda_image(world, *arguments):
    done, calls = world(*arguments, "--prove", "none", torch="12.4 2.17 /x")
    (image,) = of(calls, "build", "-f")
    return done, dict(item.split("=", 1) for item in pairs(image, "--build-arg"))["CUDA_IMAGE"]


def test_nvcc_comes_from_an_image_before_cuda_13_and_then_from_pypi(world):
    assert cuda_image(world, "--cuda", "12.4")[1] == "nvidia/cuda:12.4.1-devel-rockylinux8"
    assert cuda_image(world, "--cuda", "13.2")[1] == "none"
    assert cuda_image(world, "--cuda", "12.4", "--cuda-image", "a.mirror/cuda:12.4")[1] == "a.mirror/cuda:12.4"
    assert cuda_image(world, "--cuda", "12.0", "--cuda-image", "my-cuda")[1] == "my-cuda"
    assert cuda_image(world, "--cuda", "13.0", "--cuda-image", "my-cuda")[1] == "my-cuda"


def test_known_images_are_for_cuda_versions_of_the_table(world):
    known = re.findall(r"^ +([\d.]+)\) echo ([\d.]+) ;;$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
    rows = {row.version for row in load_tables().cuda}
    assert len(known) == 9
    for cuda, release in known:
        assert cuda in rows
        assert re.fullmatch(rf"{re.escape(cuda)}\.\d", release)


def test_each_wheel_is_audited_for_its_promised_glibc(world):
    two = [
        "mamba_ssm_portable-2.3.0-cp312-cp312-linux_x86_64.whl",
        "causal_conv1d_portable-1.6.1-cp312-cp312-linux_x86_64.whl",
    ]
    assert [call[-4:] for call in of(world(wheels=two)[1], "audit")] == [
        ["audit", "--require", "glibc=2.17", f"/dist/{name}"] for name in two
    ]
    assert of(world("-C", "glibc=2.28")[1], "audit")[0][-2] == "glibc=2.28"


def test_arguments_with_spaces_are_passed_unchanged(world, tmp_path):
    source = tmp_path / "my sources"
    source.mkdir()
    conf = tmp_path / "my pip.conf"
    conf.write_text("[global]\n")
    done, calls = world("-C", "source=my sources", "-C", "arch=8.0; 9.0", "--pip-conf", conf, "--prove", "none",
                        environ={"MAMBA_BUILD_CACHE_DIR": "a cache"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    (image,) = of(calls, "build", "-f")
    assert pairs(image, "--secret") == [f"id=pip.conf,src={conf}"]
    (compiled,) = of(calls, "run", "build")
    assert pairs(compiled, "-C") == [f"source={source}", "arch=8.0; 9.0"]
    assert pairs(compiled, "-v") == [
        f"{tmp_path}/dist:/dist", f"{source}:{source}:ro", f"{conf}:/etc/pip.conf:ro", f"{tmp_path}/a cache:/cache",
    ]  # fmt: skip


def test_wheel_is_imported_on_its_floor_and_skipped_images_are_named(world, tmp_path):
    machine = os.uname().machine
    old, new = f"quay.io/pypa/manylinux2014_{machine}", f"quay.io/pypa/manylinux_2_28_{machine}"
    answers = {old: "2.17\nyes", new: "2.28\nyes", "ubuntu:20.04": "2.31\nno", "rockylinux:8": "2.28\nyes"}
    done, calls = world(images=answers)
    assert done.returncode == 0, done.stderr
    assert images(calls) == [new, "rockylinux:8"]
    assert "left out: manylinux2014: its glibc is 2.17, and torch 2.11.0 needs 2.28" in done.stderr
    assert "left out: ubuntu:20.04: it has no Python 3.12, and cannot install one" in done.stderr
    assert "imported in rockylinux:8" in done.stderr
    (first, _) = of(calls, "check-root")
    assert pairs(first, "--wheel") == [f"{tmp_path}/dist/{WHEEL}"]
    assert pairs(first, "--engine") == ["docker"]
    assert pairs(first, "--python") == ["3.12"]
    (copied,) = of(calls, "cp")
    assert copied[-3:] == ["-R", "/opt/build/lib/python3.12/site-packages/.", "/torch"]
    assert pairs(copied, "-v") == [f"{pairs(first, '--torch')[0]}:/torch"]
    assert not os.path.exists(pairs(first, "--torch")[0]), "the copy of torch is gone"


def test_requested_glibc_counts_if_torch_needs_less(world):
    done, calls = world("-C", "glibc=2.28", "--cuda", "12.4", "--prove", "a:1", "--prove", "b:1",
                        images={"a:1": "2.17\nyes", "b:1": "2.28\nyes"}, torch="12.4 2.17 /x")  # fmt: skip
    assert images(calls) == ["b:1"]
    assert "left out: a:1: its glibc is 2.17, and the wheel needs 2.28" in done.stderr


def test_no_remaining_image_is_an_error(world):
    done, calls = world("--prove", "alpine:3", images={"alpine:3": "\nno"})
    assert done.returncode == 8
    assert "left out: alpine:3: it has no glibc" in done.stderr
    assert "error: no image can import the wheel." in done.stderr
    assert not images(calls)
    assert done.stdout == ""


def test_wheel_for_many_pythons_is_imported_with_the_python_of_torch(world):
    wheel = "mamba_ssm_portable-2.3.2.post1-cp310-abi3-manylinux_2_17_x86_64.whl"
    done, calls = world("-C", "abi=stable", "--prove", "a:1", wheels=[wheel])
    assert done.returncode == 0, done.stderr
    assert of(calls, "look")[0][-3:] == ["cp312", "python3.12", "python3.12"]
    assert pairs(of(calls, "check-root")[0], "--python") == ["3.12"]


def test_torch_and_nvcc_of_two_major_versions_are_refused_early(world):
    done, calls = world("--cuda", "12.8")
    assert done.returncode == 3
    assert "torch 2.11.0 is for CUDA 13.0, and nvcc is for CUDA 12.8" in done.stderr
    assert "--torch 2.11.0+cu128" in done.stderr
    assert not of(calls, "run", "build")


@pytest.mark.parametrize(("step", "status"), [("build", 37), ("ask", 125), ("compile", 5), ("audit", 6), ("look", 125)])
def test_failed_step_ends_the_script_with_its_status(world, step, status):
    done, calls = world(**{f"{step}_status": status})
    assert done.returncode == status
    assert done.stdout == ""
    after = {"build": "run", "ask": "-w", "compile": "audit", "audit": "look", "look": "check-root"}[step]
    assert not of(calls, after)


def test_first_failed_import_sets_the_status_and_the_others_run(world):
    done, calls = world("--prove", "a:1", "--prove", "b:1", "--prove", "c:1", **{"check-root": 0, "a:1": 1, "b:1": 3})
    assert images(calls) == ["a:1", "b:1", "c:1"]
    assert done.returncode == 1
    assert "failed: b:1: check-root ended with exit code 3" in done.stderr
    assert "imported in c:1" in done.stderr
    assert done.stdout == ""


def test_engine_decides_the_owner_of_the_wheels(world):
    me = f"{os.getuid()}:{os.getgid()}"
    podman = of(world("--prove", "none", version="podman version 5.4.2")[1], "run", "build")[0]
    assert pairs(podman, "--userns") == ([] if os.getuid() == 0 else ["keep-id"])
    assert pairs(podman, "--user") == [me]
    rootless = of(world("--prove", "none", info="Security Options:\n  rootless")[1], "run", "build")[0]
    assert pairs(rootless, "--user") == ["0:0"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--imgae", "x"], "unknown argument --imgae"),
        (["wheel"], "unknown argument wheel"),
        (["--torch"], "--torch has no value"),
        (["--out", ""], "--out is empty"),
        (["--cuda", "13"], "--cuda 13 is not a CUDA release"),
        (["--cuda", "12.0"], "--cuda 12.0: no NVIDIA image with this CUDA is known"),
        (
            ["--cuda", "12.4", "--cuda-image", "none"],
            "--cuda-image none: PyPI has nvcc only from CUDA 13 on, not for CUDA 12.4",
        ),
        (["--python", "3.12"], "--python 3.12 is not a Python tag"),
        (["--torch", "new"], "--torch new is not a torch version"),
        (["--engine", "lxc"], "unknown engine lxc"),
        (["-C", "arch"], "-C arch has no value"),
        (["-C", "glibc=old"], "-C glibc=old is not a glibc version"),
        (["--pip-conf", "nowhere"], "--pip-conf nowhere is not a readable file"),
    ],
)
def test_bad_argument_is_named_before_the_engine_starts(world, arguments, named):
    done, calls = world(*arguments)
    assert done.returncode == 2
    assert f"build-and-prove: error: {named}" in done.stderr
    assert not calls


def test_a_folder_that_cannot_be_written_is_named(world, tmp_path):
    (tmp_path / "taken").write_text("")
    done, calls = world("--out", "taken/dist")
    assert (done.returncode, of(calls, "build")) == (7, [])
    assert "taken/dist cannot be written" in done.stderr


def test_help_lists_every_argument_and_needs_no_engine(world):
    done, calls = world("--help", engines=())
    assert (done.returncode, done.stderr, calls) == (0, "", [])
    text = SCRIPT.read_text(encoding="utf-8")
    known = set(re.findall(r"^        (--[a-z-]+|-C)\) ", text, re.MULTILINE))
    assert known == {
        "--image",
        "--cuda",
        "--cuda-image",
        "--python",
        "--torch",
        "--engine",
        "--out",
        "--upstream",
        "--prove",
        "--pip-conf",
    }
    for name in [*known, "-C", "--help"]:
        assert re.search(rf"^  (-h, )?{name}\b", done.stdout, re.MULTILINE), name


def defaults():
    return dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))


def test_the_arguments_of_the_dockerfile_are_those_of_the_script_with_the_same_defaults(world):
    (image,) = of(world()[1], "build", "-f")
    given = dict(item.split("=", 1) for item in pairs(image, "--build-arg"))
    given["IMAGE"] = re.sub(r"_(x86_64|aarch64)$", "_x86_64", given["IMAGE"])
    assert given == defaults()


def test_the_defaults_of_the_dockerfile_go_together():
    row = load_tables().torch_row(minor(defaults()["TORCH"]))
    assert row.cuda == defaults()["CUDA"]
    assert "cp" + row.python[0].replace(".", "") <= defaults()["PYTHON"].partition("-")[0]


def scripts():
    """The shell of each RUN instruction."""
    plain = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)
    found = re.findall(r"^RUN ((?:.*\\\n)*.*)$", plain, re.MULTILINE)
    return [re.sub(r"--mount=\S+", "", text.replace("\\\n", " ")).strip() for text in found]


@pytest.mark.parametrize("script", scripts(), ids=lambda text: text[:40])
def test_each_run_instruction_is_a_shell_script(script):
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("cuda", "here", "installed"),
    [("13.0", "14", []), ("12.4", "14", ["gcc-toolset-13-gcc-c++"]), ("11.8", "14", ["gcc-toolset-11-gcc-c++"]), ("11.8", "10", [])],
)  # fmt: skip
def test_image_gets_the_newest_gxx_that_nvcc_accepts(tmp_path, cuda, here, installed):
    (script,) = [text for text in scripts() if "cuda.toml" in text]
    for name in ("cut", "sed"):
        (tmp_path / name).symlink_to(shutil.which(name))
    for name, text in (("g++", f"echo {here}"), ("dnf", 'echo "$@"'), ("rm", ":")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    table = str(ROOT / "mamba_build_backend" / "tables" / "cuda.toml")
    done = subprocess.run(
        ["/bin/sh", "-c", script.replace("/tmp/cuda.toml", table)],
        env={"PATH": str(tmp_path), "CUDA": cuda}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.findall(r"gcc-toolset-\S+", done.stdout) == installed


def test_cuda_without_an_image_is_refused_unless_pypi_has_it(tmp_path):
    (script,) = [text for text in scripts() if "CUDA_IMAGE" in text]
    (tmp_path / "mkdir").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "mkdir").chmod(0o755)

    def run(cuda):
        env = {"PATH": str(tmp_path), "CUDA": cuda}
        return subprocess.run(["/bin/sh", "-c", script], env=env, capture_output=True, text=True, check=False)

    assert run("13.0").stdout == "-p /usr/local/cuda-13.0\n"
    refused = run("12.4")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "CUDA=12.4 needs CUDA_IMAGE" in refused.stderr


def test_each_stage_declares_the_arguments_that_it_uses():
    head, *stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    everywhere = set(re.findall(r"^ARG (\w+)=", head, re.MULTILINE))
    assert [stage.splitlines()[0] for stage in stages] == [
        "${IMAGE} AS none", "${CUDA_IMAGE} AS cuda", "${IMAGE} AS toolchain", "toolchain AS build",
    ]  # fmt: skip
    for stage in stages:
        body = re.sub(r"^#.*\n", "", stage.partition("\n")[2], flags=re.MULTILINE)
        used = set(re.findall(r"\$\{?(\w+)", body)) & set(defaults())
        declared = set(re.findall(r"^ARG (\w+)", body, re.MULTILINE))
        assert used == declared, stage
        # Without a value of its own: one that is set before the first stage would not reach it.
        assert not [name for name in everywhere & declared if f"ARG {name}=" in body]


def test_only_images_name_a_server():
    for path in ("Dockerfile", "build-and-prove"):
        assert not re.findall(r"https?://\S+", (ROOT / "manylinux" / path).read_text(encoding="utf-8"))


def test_image_copies_build_inputs_but_no_tests():
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    }
    assert copied == {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "build-constraints.txt",
        "patches",
        "mamba_build_backend",
    }
    assert all((ROOT / name).exists() for name in copied)


def test_the_script_can_be_started():
    assert os.access(SCRIPT, os.X_OK)


PAGE = (ROOT / "docs" / "old-linux.md").read_text(encoding="utf-8")


def number(text):
    return tuple(map(int, text.split(".")))


def test_manylinux_page_agrees_with_the_torch_table():
    start = PAGE.index("| torch | needs glibc |")
    head, _, *rows = [line.strip("| ").split(" | ") for line in PAGE[start : PAGE.index("\n\n", start)].splitlines()]
    systems = re.findall(r"\((2\.\d+)\)", " ".join(head))
    told = []
    for versions, glibc, *answers in rows:
        assert answers == ["yes" if number(item) >= number(glibc) else "no" for item in systems]
        told.append((*versions.split(" to "), glibc))
    groups = [list(group) for _, group in itertools.groupby(load_tables().torch, lambda row: row.glibc)]
    assert told == [(group[0].version, group[-1].version, group[0].glibc) for group in groups]


def test_manylinux_page_agrees_with_the_glibc_table():
    text = (ROOT / "mamba_build_backend" / "tables" / "distributions.toml").read_text(encoding="utf-8")
    page = " ".join(PAGE.split())  # lines may break within a name
    for row in tomllib.loads(text)["distribution"]:
        name = next((name for name in row["names"] if name.startswith("rhel")), row["names"][0])
        name = name.replace("rhel", "RHEL").replace("ubuntu", "Ubuntu").replace("debian", "Debian")
        assert re.search(rf"{name}(, [A-Z]\w+ [\d.]+)* \({row['glibc']}\)", page), name
