import pytest
from support import ROOT

from mamba_build_backend.core._compat import tomllib
from mamba_build_backend.core.errors import SettingsError
from mamba_build_backend.core.settings import as_environment, known_keys, load_settings


def test_settings_come_from_three_places_in_order():
    table, env, config = (
        {"glibc": "2.24", "jobs": 2, "arch": "8.0"},
        {"MAMBA_BUILD_GLIBC": "2.28", "MAMBA_BUILD_JOBS": "3"},
        {"glibc": "2.31"},
    )
    loaded = load_settings(config, env, table)
    assert (loaded.glibc, loaded.jobs, loaded.arch) == ("2.31", 3, "8.0")
    assert loaded.origin("glibc") == "-C (config settings)"
    assert loaded.origin("arch") == "[tool.mamba-build-backend] in pyproject.toml"
    assert loaded.origin("strip") == "default"


@pytest.mark.parametrize(
    ("config", "env", "table", "place", "hint"),
    [
        ({"arhc": "9.0"}, {}, {}, "-C", "'arch'"),
        ({}, {"MAMBA_BUILD_ARHC": "9.0"}, {}, "the environment", "'MAMBA_BUILD_ARCH'"),
        ({}, {}, {"arhc": "9.0"}, "pyproject.toml", "'arch'"),
        ({"cuda_home": "/x"}, {}, {}, "-C", "'cuda-home'"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_right_spelling(config, env, table, place, hint):
    with pytest.raises(SettingsError) as caught:
        load_settings(config, env, table)
    assert place in str(caught.value)
    assert f"did you mean {hint}?" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_setting_that_resembles_nothing_gets_the_list():
    with pytest.raises(SettingsError, match="the settings are upstream, upstream-version"):
        load_settings({"zzzzzz": "1"}, {}, {})


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("all", "all"),
        ("Native", "native"),
        ("9.0", "9.0"),
        ("8.0;9.0+PTX", "8.0;9.0+PTX"),
        ("8.0 9.0+ptx", "8.0;9.0+PTX"),
        ("sm_90,sm_100", "9.0;10.0"),
        (["8.0", "9.0"], "8.0;9.0"),
        ("12.0f", "12.0f"),
        ("9.0;9.0", "9.0"),
        ("Ampere;Hopper", "8.0;8.6+PTX;9.0+PTX"),
    ],
)
def test_architectures_are_read_in_every_usual_notation(given, read):
    assert load_settings({"arch": given}, {}, {}).arch == read


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("arch", "sm90x", "'sm90x' is not a compute capability"),
        ("arch", "Fermi", "'fermi' is not|'Fermi' is not"),
        ("arch", ";", "the list is empty"),
        ("glibc", "2.x", "is not a glibc version"),
        ("jobs", "0", "is not a number of processes"),
        ("jobs", "many", "is not a number of processes"),
        ("jobs", "²", "is not a number of processes"),
        ("jobs", "9" * 5000, "is not a number of processes"),
        ("memory", "9" * 400, "is not a usable amount of memory"),
        ("memory", "lots", "is not a usable amount of memory"),
        ("memory", "12", "is not a usable amount of memory"),
        ("repair", "maybe", "neither true nor false"),
        ("compress", "tiny", "is not a valid value"),
        ("torch", {"a": 1}, "a value of type dict"),
    ],
)
def test_unreadable_value_is_refused_with_an_example(key, value, complaint):
    with pytest.raises(SettingsError, match=complaint) as caught:
        load_settings({key: value}, {}, {})
    assert caught.value.problems[0].fix
    assert "from -C" in str(caught.value)


def test_toml_values_keep_their_types():
    loaded = load_settings({}, {}, {"repair": False, "jobs": 4, "arch": ["8.0", "9.0"], "memory": "2.5G"})
    assert (loaded.repair, loaded.jobs, loaded.arch, loaded.memory) == (False, 4, "8.0;9.0", int(2.5 * 1024**3))


def test_variables_of_torch_count_without_a_setting():
    env = {"TORCH_CUDA_ARCH_LIST": "8.0 9.0", "MAX_JOBS": "5", "CUDA_HOME": "/opt/cuda"}
    loaded = load_settings({}, env, {})
    assert (loaded.arch, loaded.jobs, loaded.cuda_home) == ("8.0;9.0", 5, "/opt/cuda")
    assert loaded.origin("arch") == "TORCH_CUDA_ARCH_LIST"
    assert load_settings({"jobs": "2"}, env, {}).jobs == 2


def test_every_setting_is_documented():
    assert all(item.doc for item in known_keys().values())


def test_uv_builds_again_when_a_setting_changes_that_decides_what_a_wheel_holds():
    of_the_way = {"cache-dir", "build-dir", "keep-build-dir", "verbose", "jobs", "memory", "metadata-only"}
    names = as_environment({key: "" for key in known_keys() if key not in of_the_way})
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    keys = {item["env"] for item in project["tool"]["uv"]["cache-keys"] if "env" in item}
    assert keys == {*names, "CUDA_HOME", "TORCH_CUDA_ARCH_LIST"}


@pytest.mark.parametrize(
    ("given", "label"), [("lab1", "lab1"), ("+cu13_x-y", "cu13.x.y"), ("", None), ("auto", "auto")]
)
def test_local_version_label_fits_a_file_name(given, label):
    assert load_settings({"local-version": given}, {}, {}).local_version == label


@pytest.mark.parametrize("given", ["a b", "cu13..x", "-", "ü", "1/2"])
def test_another_local_version_label_is_refused_in_a_sentence(given):
    with pytest.raises(SettingsError, match="is not a local version label"):
        load_settings({"local-version": given}, {}, {})


@pytest.mark.parametrize(
    ("given", "label"), [("auto", "auto"), ("none", None), ("", None), ("cu13_torch2.11", "cu13_torch2.11")]
)
def test_a_variant_label_is_none_auto_or_what_the_draft_allows(given, label):
    assert load_settings({"variant": given}, {}, {}).variant == label


@pytest.mark.parametrize(("given", "number"), [("2", 2), (12, 12), ("999999", 999999), ("none", None), ("", None)])
def test_a_build_tag_is_a_number(given, number):
    assert load_settings({"build-tag": given}, {}, {}).build_tag == number


@pytest.mark.parametrize("given", ["0", "02", "2a", "a", "-1", "1.5", "1000000", "1_0", "٢", "x" * 9000])
def test_another_build_tag_is_refused_in_a_sentence(given):
    with pytest.raises(SettingsError, match="is not a build number") as told:
        load_settings({"build-tag": given}, {}, {})
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("given", ["CU13", "a-b", "null", "a b"])
def test_another_variant_label_is_refused_in_a_sentence(given):
    with pytest.raises(SettingsError, match="is not a variant label"):
        load_settings({"variant": given}, {}, {})


@pytest.mark.parametrize(
    ("given", "mirror"),
    [
        ("https://host/cuda/redist/", "https://host/cuda/redist"),
        ("HTTP://bob:pw@host:8080", "HTTP://bob:pw@host:8080"),
        ("/media/usb/", "/media/usb"),
        ("archives", "archives"),
        ("/", "/"),
        ("OFF", "off"),
        ("auto", None),
        ("", None),
    ],
)
def test_a_mirror_is_an_address_a_folder_or_off(given, mirror):
    assert load_settings({"cuda-mirror": given}, {}, {}).cuda_mirror == mirror


@pytest.mark.parametrize("given", ["ftp://host/x", "file:///media/usb", "https://", "https:///x", "s3://bucket"])
def test_another_address_of_a_mirror_is_refused_without_its_password(given):
    with pytest.raises(SettingsError, match="is not an http or https address"):
        load_settings({"cuda-mirror": given}, {}, {})
    with pytest.raises(SettingsError) as caught:
        load_settings({"cuda-mirror": "ftp://bob:hunter22@host/x"}, {}, {})
    assert "hunter22" not in str(caught.value)
