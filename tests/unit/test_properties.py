"""Properties of every input, tested with generated inputs (hypothesis).

``--hypothesis-profile=long`` tries many more.
"""

import functools
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from support import ROOT, planned_for

from mamba_build_backend import plan
from mamba_build_backend.core.errors import SettingsError
from mamba_build_backend.core.setting_values import parse_archs
from mamba_build_backend.core.settings import Settings, as_environment, known_keys, load_settings
from mamba_build_backend.probe.recording import Private, without_names
from mamba_build_backend.tables import load_tables

TABLES = load_tables()
MACHINE = planned_for(ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json")[0]


def decided(settings=None, **facts):
    return plan.decide(load_settings(settings or {}, {}, {}), replace(MACHINE, **facts), TABLES)


# Architectures.

ARCHS = st.sampled_from(
    ["7.5", "8.0", "8.6", "8.9", "9.0", "9.0a", "10.0f", "12.0", "9.0+PTX", "sm_80", "compute_90", "75"]
)
NAMES = st.sampled_from(["Pascal", "volta", "Turing", "ampere", "ada", "Hopper", "blackwell"])
SEPARATORS = st.sampled_from([";", ",", " ", "; ", ";;", "\t"])


@st.composite
def arch_lists(draw):
    items = draw(st.lists(ARCHS | NAMES, min_size=1, max_size=8))
    return "".join(item + draw(SEPARATORS) for item in items)


@given(arch_lists())
def test_architecture_list_round_trips(text):
    once = parse_archs("arch", text)
    assert parse_archs("arch", once) == once
    assert parse_archs("arch", once.split(";")) == once


@given(arch_lists())
def test_architectures_are_unique_and_keep_their_order(text):
    items = parse_archs("arch", text).split(";")
    assert len(set(items)) == len(items)
    first = parse_archs("arch", re.split(r"[;,\s]+", text)[0]).split(";")
    assert items[: len(first)] == first


@given(st.text(max_size=12))
def test_any_text_is_an_architecture_list_or_one_sentence(text):
    try:
        once = parse_archs("arch", text)
    except SettingsError as error:
        once, complaint = "all", error.problems[0].found
    else:
        complaint = "arch: "
    assert complaint.startswith("arch: ")
    assert parse_archs("arch", once) == once


@given(st.sets(st.sampled_from(["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]), min_size=1))
def test_each_requested_architecture_is_compiled_once(asked):
    codes = decided({"arch": ";".join(asked)}).gpu_code.value.codes
    assert sorted(codes) == sorted(arch.replace(".", "") for arch in asked)


# Settings.

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=12)
SPECIAL = {
    "arch": arch_lists(),
    "abi": st.sampled_from(["torch", "stable", "Stable"]),
    "glibc": st.integers(0, 99).map("2.{}".format),
    "jobs": st.integers(1, 999999).map(str) | st.just("auto"),
    "memory": st.integers(1, 999).map("{}G".format) | st.integers(2**28, 2**50).map(str) | st.just("1.5 TiB"),
    "cache": st.sampled_from(["auto", "ccache", "SCCACHE", "off"]),
    "gpu-code": st.sampled_from(["nvcc", "Compact"]),
    "compress": st.sampled_from(["size", "speed", "balance", "none", "default"]),
    "local-version": st.from_regex(r"\+?[A-Za-z0-9]{1,3}([-_.][A-Za-z0-9]{1,3}){0,2}", fullmatch=True),
    "distribution-name": st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True),
    "machine": st.sampled_from(["auto", "x86_64", "AArch64"]),
    "build-tag": st.integers(1, 999_999).map(str),
    "variant": st.from_regex(r"[0-9a-z_.]{1,8}", fullmatch=True).filter(lambda text: text != "null"),
}
FLAGS = st.sampled_from(["true", "false", "1", "no", "ON"])
TEXTS = {
    key: SPECIAL.get(key, FLAGS if isinstance(item.default, bool) else WORDS) for key, item in known_keys().items()
}


@given(st.fixed_dictionaries({}, optional=TEXTS))
def test_every_setting_survives_the_environment(texts):
    """What one process passes to the next: the value as text in a variable, and the value again."""
    before = load_settings(texts, {}, None)
    values = {key: known_keys()[key].value(before) for key in texts}
    carried = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in values.items()
        if value is not None
    }
    after = load_settings(None, as_environment(carried), None)
    assert replace(after, origins=()) == replace(before, origins=())


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_command_line_overrides_every_other_setting(key, data):
    texts = [data.draw(TEXTS[key]) for _ in range(3)]
    chosen = load_settings({key: texts[0]}, as_environment({key: texts[1]}), {key: texts[2]})
    assert replace(chosen, origins=()) == replace(load_settings({key: texts[0]}, {}, None), origins=())
    assert chosen.origin(key) == "-C (config settings)"


@given(st.text(max_size=10))
def test_unknown_key_is_one_sentence(key):
    if key not in TEXTS:
        with pytest.raises(SettingsError, match="unknown setting"):
            load_settings({key: "1"}, {}, None)


# Versions.

TORCHES = [row.version for row in TABLES.torch]
GOOD = {project.name: project.good for project in TABLES.projects if project.good}


@functools.cache
def upstream_for(torch, name="mamba-ssm"):
    """The chosen version for this torch, of any CUDA; ignores all other problems."""
    (found, *_) = MACHINE.torches
    return decided({"upstream": name}, torches=(replace(found, version=f"{torch}.0"),)).upstream.value


@given(st.sampled_from(TORCHES), st.sampled_from(sorted(GOOD)))
def test_newest_good_version_for_the_torch_is_chosen(torch, name):
    chosen = upstream_for(torch, name)
    rows = {row.version: row for row in TABLES.versions_of(name)}
    fitting = [rows[good] for good in GOOD[name] if Version(rows[good].torch_min or "0") <= Version(torch)]
    assert chosen == (fitting or [rows[GOOD[name][-1]]])[0]


@given(st.sampled_from(TORCHES), st.sampled_from(TORCHES))
def test_a_newer_torch_never_gets_an_older_version(one, other):
    older, newer = sorted((one, other), key=Version)
    assert Version(upstream_for(older).version) <= Version(upstream_for(newer).version)


@given(st.sampled_from(TORCHES), st.sampled_from([">=", "<=", "<", ">", "!="]))
def test_torch_requirement_is_planned_for_its_newest_version(release, operator):
    made = decided({"torch": f"torch{operator}{release}"}, torches=())
    ways = SpecifierSet(f"{operator}{release}")
    admitted = [row for row in TORCHES if any(ways.contains(f"{row}.{patch}") for patch in range(3))]
    assert made.target.requirement == f"torch{operator}{release}"
    if admitted:
        assert made.target.version == max(admitted, key=Version)


# A recorded machine holds no personal names.

RESERVED = {"home", "user", "host", "root", "localhost", "http", "https", "scratch"}
PERSONS = st.from_regex(r"[a-z][a-z0-9]{3,9}", fullmatch=True).filter(lambda name: name not in RESERVED)
SECRETS = st.from_regex(r"[A-Za-z0-9_+=-]{12,24}", fullmatch=True)


@st.composite
def machines(draw):
    """Private words of a user, and a nested JSON value whose strings hold them as a machine's facts do."""
    user, host, domain = (draw(PERSONS) for _ in range(3))
    home = draw(st.sampled_from(["/home/{}", "/data/people/{}", "/Users/{}/"])).format(user)
    secrets = tuple(sorted(draw(st.sets(SECRETS, min_size=1, max_size=2)), key=len, reverse=True))
    private = Private(home, user, (f"{host}.{domain}.org", host), secrets)
    strings = st.sampled_from(
        [
            f"{home.rstrip('/')}/conda/bin/g++", home, f"/scratch/{user}/torch", f"-I{home.rstrip('/')}/include:/usr/lib",
            f"https://{user}:{secrets[0]}@{host}.{domain}.org/simple", f"token={secrets[-1]}", f"{user}@{host}:/srv",
            f"/net/{host}/cuda", f"ssh://{host}.{domain}.org/x", "g++ (Debian 12.2.0)", "12.8", "",
        ]
    )  # fmt: skip
    leaves = strings | st.none() | st.booleans() | st.integers() | st.lists(strings, max_size=3).map(" ".join)
    inner = st.recursive(leaves, lambda item: st.lists(item, max_size=4) | st.dictionaries(WORDS, item, max_size=4))
    return private, draw(st.dictionaries(st.sampled_from(["facts", "environ", "settings"]), inner, min_size=1))


def strings_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in strings_in(item)]
    return [value] if isinstance(value, str) else []


@given(machines())
def test_recorded_machine_holds_no_secret_home_user_or_host(machine):
    private, value = machine
    for text in strings_in(without_names(value, private)):
        assert not any(secret in text for secret in private.secrets)
        assert not re.search(re.escape(private.home.rstrip("/")) + r"(?![\w.-])", text)
        for name in (private.user, *private.hosts):
            assert not re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", text)


@given(machines())
def test_machine_without_names_stays_unchanged(machine):
    private, value = machine
    once = without_names(value, private)
    assert without_names(once, private) == once
    assert json.loads(json.dumps(once)) == once


def test_settings_model_covers_every_setting():
    assert set(TEXTS) == set(known_keys())
    assert load_settings({}, {}, None) == Settings()
