"""Wheel variants: what the drafts say, as today's tools read it."""

import json

import pytest

from mamba_build_backend.plan import assemble
from mamba_build_backend.wheel import variants

PLAIN = "mamba_ssm_portable-2.3.0-cp311-cp311-manylinux_2_24_x86_64.whl"


def test_auto_is_labelled_by_the_cuda_that_the_driver_must_run():
    assert assemble.variant_label("auto", "13.2") == "cu13"
    assert assemble.variant_label("lab.1", "13.2") == "lab.1"
    assert assemble.variant_label(None, "13.2") == ""


def test_variantlib_reads_the_metadata_and_finds_the_label():
    library = pytest.importorskip("variantlib.variant_dist_info", reason="lacks variantlib (Python 3.10 and newer)")
    info = library.VariantDistInfo(variants.variant_json("cu13", "13.2"), expected_label="cu13")
    assert [prop.to_str() for prop in info.variant_desc.properties] == ["nvidia :: cuda_version_lower_bound :: 13.0"]


def test_the_priorities_name_each_namespace_that_the_variants_use():
    """The drafts' rule (PEP 825): an installer cannot rank a property whose namespace has no priority."""
    data = json.loads(variants.variant_json("cu12", "12.8"))
    used = {namespace for properties in data["variants"].values() for namespace in properties}
    assert used == {"nvidia"}
    assert set(data["default-priorities"]["namespace"]) == used


@pytest.mark.parametrize("plain", [PLAIN, PLAIN.replace("-cp311-cp311", "-1-cp311-cp311")])
def test_a_label_is_put_into_the_file_name_and_taken_out_again(plain):
    named = variants.variant_name(plain, "cu13")
    assert named == plain.replace(".whl", "-cu13.whl")
    assert variants.plain_name(named) == plain
    assert variants.plain_name(plain) == plain
    assert variants.variant_name(plain, "") == plain
