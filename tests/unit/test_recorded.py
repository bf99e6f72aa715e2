"""A machine as a file: saved without names, planned for elsewhere."""

import json
import random

import pytest
from support import RECORDED, ROOT, typed

from mamba_build_backend.core.errors import BackendError, SettingsError
from mamba_build_backend.core.facts import from_json
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.plan import decide, doctor_json, report
from mamba_build_backend.probe import recording
from mamba_build_backend.tables import load_tables

MACHINE = ROOT / "tests" / "facts" / "conda-lib-everywhere.json"
ALICE = recording.Private("/home/alice", "alice", ("gpu07.cluster.example.org", "gpu07"), ("hf_verysecret",))


def doctor(*arguments, env=None):
    return typed("doctor", *arguments, env=env)


def facts_of(path):
    return from_json(json.loads(path.read_text())["facts"])


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/alice/conda/bin/g++", "/home/user/conda/bin/g++"),
        ("/home/alice", "/home/user"),
        ("/home/alicesprings/x", "/home/alicesprings/x"),
        ("/scratch/alice/env/lib", "/scratch/user/env/lib"),
        ("/scratch/users_alice/env", "/scratch/users_user/env"),
        ("/net/gpu07/opt", "/net/host/opt"),
        ("/net/gpu07.cluster.example.org/opt", "/net/host/opt"),
        ("https://bob:pw@mirror.example.org/simple", "https://***@mirror.example.org/simple"),
        ("-L/opt/x -DTOKEN=hf_verysecret", "-L/opt/x -DTOKEN=***"),
        ("x86_64-linux-gnu", "x86_64-linux-gnu"),
        ("/scratch/alice2024/env", "/scratch/user2024/env"),
        ("/scratch/Alice/env", "/scratch/user/env"),
        ("/scratch/alice_data/env", "/scratch/user_data/env"),
        ("CORP\\alice", "CORP\\user"),
        ("alice@corp", "user@corp"),
        ("/scratch/malice/x", "/scratch/malice/x"),
        ("-O3 -DHF_TOKEN=abcdef -DX=1", "-O3 -DHF_TOKEN=*** -DX=1"),
        ("https://host/simple?token=abcdef&x=1", "https://host/simple?token=***&x=1"),
    ],
)
def test_recording_keeps_no_personal_names(text, clean):
    assert recording.without_names({"a": [text]}, ALICE) == {"a": [clean]}


def test_a_host_that_is_called_like_a_system_does_not_rename_the_system():
    private = recording.Private("/root", "root", ("debian",), ())
    facts = {"distribution": "debian 12", "target": "x86_64-linux-gnu", "path": "/net/debian/opt", "home": "/root/x"}
    clean = recording.without_names(facts, private)
    assert clean == {**facts, "path": "/net/host/opt", "home": "/home/user/x"}


def test_a_short_user_name_is_replaced_only_as_a_whole_component():
    private = recording.Private("", "li", (), ())
    assert recording.without_names("/data/li/lib/libli.so", private) == "/data/user/lib/libli.so"


def test_every_name_that_a_user_has_on_a_machine_is_replaced():
    private = recording.private_words({"LOGNAME": "root", "USER": "alice", "SUDO_USER": "bobby", "HOME": "/root"})
    assert recording.without_names("/data/alice/of/bobby", private) == "/data/user/of/user"


def test_user_name_as_a_label_is_not_saved(tmp_path):
    settings = load_settings({"local-version": "alice1"}, {}, {})
    recording.save(tmp_path / "m.json", settings, facts_of(MACHINE), {"HOME": "/nowhere", "USER": "alice"})
    assert "alice" not in (tmp_path / "m.json").read_text()


def test_values_of_secret_looking_variables_are_secrets():
    private = recording.private_words(
        {"HF_TOKEN": "hf_abcdef", "MY_API_KEY": "0123456789", "KEYBOARD": "qwertz-de", "PATH": "/usr/bin"}
    )
    assert private.secrets == ("0123456789", "hf_abcdef")


def test_saved_machine_gives_the_same_plan_elsewhere(tmp_path):
    settings = load_settings(
        {"arch": "8.0;9.0", "memory": "8G", "repair": "false"}, {"CUDA_HOME": "/usr/local/cuda-13.0"}, {}
    )
    facts = facts_of(MACHINE)
    recording.save(tmp_path / "m.json", settings, facts, {"HOME": "/nowhere", "USER": "nobody-here"})
    again, found = recording.load(tmp_path / "m.json", {})
    assert (again.arch, again.memory, again.repair) == ("8.0;9.0", 8 * 1024**3, False)
    assert again.origin("cuda-home") == "CUDA_HOME", "a variable stays weaker than a setting"
    assert found == facts
    assert decide(again, found, load_tables()) == decide(settings, facts, load_tables())


def test_doctor_plans_for_a_saved_machine_with_settings():
    done = doctor("--facts", MACHINE)
    assert done.returncode == 0
    assert "debian 12" in done.stdout
    done = doctor("--facts", MACHINE, "-C", "arch=3.0")
    assert done.returncode == 3
    assert "nvcc 13.0 cannot compile for 3.0" in done.stdout


def test_doctor_saves_this_machine_and_the_file_gives_the_same_report(tmp_path, clean_env):
    env = {**clean_env, "HF_TOKEN": "hf_averylongsecret", "CPATH": "/opt/hf_averylongsecret/include"}
    saved = doctor("--save", tmp_path / "m.json", env=env)
    assert "saved this machine's facts, without user and host name, to" in saved.stderr
    text = (tmp_path / "m.json").read_text()
    assert "hf_averylongsecret" not in text
    again = doctor("--facts", tmp_path / "m.json")
    assert again.returncode == saved.returncode
    assert again.stdout.splitlines()[0] == saved.stdout.splitlines()[0]


def test_doctor_saves_nothing_to_a_read_only_place(tmp_path):
    done = doctor("--save", tmp_path / "no" / "m.json")
    assert done.returncode == 7
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is not a machine file"),
        ("[1]", "`doctor --save` did not write it"),
        ('{"facts": {}}', "machine"),
        ('{"facts": {"machine": 3}}', "an object is needed"),
        ('{"schema": 99, "facts": {}}', "its schema is 99"),
        (
            '{"facts": {"machine": {"system": "Linux", "arch": "x86_64", "libc": "glibc", "libc_version": "new", "cores": 1, "memory_available": 1, "python_version": "3.11.7", "python_tag": "cp311", "python_prefix": "/"}}}',
            "facts.machine.libc_version: 'new' is not a version",
        ),
        ('{"facts": {}, "surprise": 1}', "did not write it"),
        ('{"facts": {}, "settings": {"jobs": 3}}', "is not a machine file"),
    ],
)
def test_file_that_is_not_a_machine_is_refused(tmp_path, content, told):
    (tmp_path / "m.json").write_text(content)
    done = doctor("--facts", tmp_path / "m.json")
    assert done.returncode == 2
    assert told in done.stderr
    assert "doctor --save machine.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_file_is_reported(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        recording.load(tmp_path / "none.json", {})


def test_unknown_setting_in_the_file_is_reported_with_a_guess(tmp_path):
    data = json.loads(MACHINE.read_text())
    (tmp_path / "m.json").write_text(json.dumps({**data, "settings": {"archs": "8.0"}}))
    done = doctor("--facts", tmp_path / "m.json")
    assert done.returncode == 2
    assert "did you mean 'arch'" in done.stderr


def test_the_password_of_a_mirror_is_not_saved_with_the_machine(tmp_path, clean_env):
    mirror = ["-C", "cuda-mirror=https://bob:hunter22@mirror.lab/cuda"]
    saved = doctor("--save", tmp_path / "m.json", *mirror, env=clean_env)
    assert saved.returncode in (0, 3)
    assert "hunter22" not in (tmp_path / "m.json").read_text() + saved.stdout + saved.stderr
    assert json.loads((tmp_path / "m.json").read_text())["settings"]["cuda-mirror"] == "https://***@mirror.lab/cuda"
    assert "Traceback" not in doctor("--facts", tmp_path / "m.json").stderr


ODD = [
    "",
    "x",
    "9" * 5000,
    "1.2.3.4.5",
    "0",
    "-1",
    None,
    True,
    0,
    -5,
    1 << 70,
    1.5,
    [],
    {},
    ["x"],
    "a\0b",
    "../x",
    "2.17",
    "٣.٤",
    "1!2",
]


def places(value, above=()):
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*above, key)
        yield from places(item, (*above, key))


@pytest.mark.parametrize("seed", range(0, 400, 40))
def test_a_machine_with_odd_values_is_planned_or_refused_in_a_sentence(tmp_path, seed):
    refused = 0
    for number in range(seed, seed + 40):
        chance = random.Random(number)
        data = json.loads(chance.choice(RECORDED).read_text())
        for _ in range(chance.randint(1, 3)):
            *above, last = chance.choice(list(places(data)))
            inside = data
            for key in above:
                inside = inside[key]
            inside[last] = chance.choice(ODD)
        (tmp_path / "m.json").write_text(json.dumps(data))
        try:
            settings, facts = recording.load(tmp_path / "m.json", {})
            made = decide(settings, facts, load_tables())
            json.dumps(doctor_json.plan_json(facts, made))
            report.plan_text(facts, made, verbose=True)
        except BackendError:
            refused += 1
    assert 0 < refused < 40
