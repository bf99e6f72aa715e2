import email
import json
from dataclasses import replace
from email.parser import HeaderParser

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from support import ROOT

from mamba_build_backend import plan, tables
from mamba_build_backend.compile.run_setup_py import with_requirements
from mamba_build_backend.core import facts, settings
from mamba_build_backend.core.errors import SourceError
from mamba_build_backend.probe import recording
from mamba_build_backend.wheel import metadata, repair

# The head of 2.3.2.post1's PKG-INFO, its licence text cut.
PKG_INFO = """\
Metadata-Version: 2.4
Name: mamba_ssm
Version: 2.3.2.post1
Summary: Mamba state-space model
Home-page: https://github.com/state-spaces/mamba
License:                                  Apache License
                                   Version 2.0, January 2004
        
Classifier: Programming Language :: Python :: 3
Classifier: License :: OSI Approved :: Apache Software License
Requires-Python: >=3.9
License-File: LICENSE
Requires-Dist: torch
Requires-Dist: tilelang==0.1.8
Requires-Dist: apache-tvm-ffi<=0.1.9
Requires-Dist: quack-kernels>=0.3.4
Requires-Dist: triton>=3.5.0
Requires-Dist: einops
Requires-Dist: transformers
Provides-Extra: causal-conv1d
Requires-Dist: causal-conv1d>=1.2.0; extra == "causal-conv1d"
Dynamic: license-file

# Mamba
"""


def made(**config):
    data = json.loads((ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json").read_text())
    return plan.decide(settings.load_settings(config, {}, {}), facts.from_json(data["facts"]), tables.load_tables())


def composed(**config):
    return metadata.compose_metadata(made(**config), [PKG_INFO], {"name": "mamba-ssm-portable"}, ("AUTHORS", "LICENSE"))


def test_stable_wheel_requires_only_the_oldest_torch_and_python():
    lines = composed(abi="stable").partition("\n\n")[0].splitlines()
    assert "Requires-Dist: torch>=2.0" in lines
    assert "Requires-Dist: triton" in lines, "a bound would replace the torch that is there: each pins its own"
    pythons = [line for line in lines if line.startswith("Requires-Python")]
    assert len(pythons) == 1
    assert pythons[0].partition(": ")[2] == ">=3.9"
    assert made(abi="stable", **{"local-version": "auto"}).local_version == "cu13"


def test_wheel_has_our_name_and_pins_its_torch():
    head, _, body = composed(abi="torch").partition("\n\n")
    assert head.splitlines() == [
        "Metadata-Version: 2.4",
        "Name: mamba-ssm-portable",
        "Version: 2.3.2.post1",
        "Summary: Mamba state-space model",
        "Home-page: https://github.com/state-spaces/mamba",
        "Classifier: Programming Language :: Python :: 3",
        "Requires-Python: >=3.9",
        "License-Expression: Apache-2.0 AND BSD-3-Clause",
        "License-File: AUTHORS",
        "License-File: LICENSE",
        "Requires-Dist: torch==2.11.*",
        "Requires-Dist: triton",
        "Requires-Dist: einops",
        "Requires-Dist: transformers>=4.37",
        'Requires-Dist: causal-conv1d>=1.2.0,>=1.5.1; extra == "causal-conv1d"',
        "Provides-Extra: causal-conv1d",
        "Provides-Extra: mamba3",
        'Requires-Dist: tilelang==0.1.8; extra == "mamba3"',
        'Requires-Dist: apache-tvm-ffi<=0.1.9; extra == "mamba3"',
        'Requires-Dist: quack-kernels>=0.3.4; extra == "mamba3"',
        'Requires-Dist: triton>=3.5.0; extra == "mamba3"',
    ]
    assert body.startswith("**mamba-ssm-portable** is mamba_ssm 2.3.2.post1")
    assert body.endswith("# Mamba\n")


CONV_INFO = """\
Metadata-Version: 2.4
Name: causal_conv1d
Version: 1.6.2.post1
License-File: LICENSE
Requires-Dist: torch
Requires-Dist: packaging
Requires-Dist: einops
"""


def test_wheel_with_a_companion_requires_what_both_require():
    made_ = made(**{"with-causal-conv1d": "true"})
    pkg_info = PKG_INFO.replace("Requires-Dist: einops\n", "Requires-Dist: einops\nRequires-Dist: causal-conv1d>=1.4\n")
    names = ("LICENSE", "causal-conv1d/LICENSE")
    text = metadata.compose_metadata(made_, [pkg_info, CONV_INFO], {"name": "mamba-ssm-portable"}, names)
    head = text.partition("\n\n")[0].splitlines()
    assert "License-Expression: Apache-2.0 AND BSD-3-Clause" in head
    assert [line for line in head if line.startswith("License-File")] == [
        "License-File: LICENSE",
        "License-File: causal-conv1d/LICENSE",
    ]
    needed = [line for line in head if line.startswith("Requires-Dist")]
    assert not [line for line in needed if "causal" in line]
    assert "Requires-Dist: packaging" in needed
    assert needed.count("Requires-Dist: einops") == 1
    assert "Provides-Extra: causal-conv1d" in head, "who asks for the extra has it"
    assert "mamba_ssm 2.3.2.post1 with causal-conv1d 1.6.2.post1, unchanged" in text


def composed_for(machine, pkg_info=PKG_INFO, **given):
    chosen, found = recording.load(ROOT / "tests" / "facts" / f"{machine}.json", given)
    made = plan.decide(chosen, found, tables.load_tables())
    return metadata.compose_metadata(made, [pkg_info], {"name": "mamba-ssm-portable"}, ())


def test_old_torch_pins_its_numpy_and_transformers():
    text = composed_for("numpy-2.1-torch-2.1.2", abi="torch")
    assert "Requires-Dist: numpy<2\n" in text
    assert "Requires-Dist: transformers<4.56,>=4.37\n" in text
    assert "Requires-Dist: torch==2.1.*\n" in text


def test_required_partner_is_limited_to_the_fitting_binding():
    text = composed_for(
        "ubuntu20.04-torch-2.0-mamba-1.0.1",
        "Name: mamba_ssm\nVersion: 1.0.1\nRequires-Dist: causal_conv1d\n\n",
        **{"with-causal-conv1d": "false"},
    )
    assert "Requires-Dist: causal_conv1d<1.1.0,>=1.0.0\n" in text


def test_wrong_requirements_of_upstream_are_dropped():
    pkg_info = "Name: causal_conv1d\nVersion: 1.1.1\nRequires-Dist: buildtools\nRequires-Dist: ninja\n\n"
    text = composed_for(
        "ubuntu20.04-torch-2.0-mamba-1.0.1", pkg_info, upstream="causal-conv1d", **{"upstream-version": "1.1.1"}
    )
    assert "Requires-Dist: ninja" in text
    assert "buildtools" not in text


def test_another_upstream_has_its_own_name():
    text = composed_for("source-git-unknown-commit", "Name: causal_conv1d\nVersion: 1.7.0\n\n")
    assert "Name: causal-conv1d-portable\n" in text


def test_a_drop_in_has_upstreams_name():
    text = composed(**{"distribution-name": "mamba-ssm"})
    assert "Name: mamba-ssm\n" in text
    assert metadata.dist_info_name(text) == "mamba_ssm-2.3.2.post1.dist-info"
    assert "\n\n# Mamba" in text


@pytest.mark.parametrize(
    ("given", "version"), [("auto", "2.3.2.post1+cu13torch2.11cxx11abiTRUE"), ("lab1", "2.3.2.post1+lab1")]
)
def test_a_local_version_is_in_the_metadata_and_in_the_folder_name(given, version):
    text = composed(abi="torch", **{"local-version": given})
    assert f"Version: {version}\n" in text
    assert metadata.dist_info_name(text) == f"mamba_ssm_portable-{version}.dist-info"


def test_guard_comes_once_before_the_first_import():
    source = '"""Doc."""\nfrom __future__ import annotations\n__version__ = "1"\n\nfrom x import y\nimport z\n'
    once = repair.insert_guard(source, "mamba_ssm_portable")
    assert once.splitlines()[4].startswith("import mamba_ssm_portable._guard  #")
    assert once.splitlines()[5] == "from x import y"
    assert once.startswith('"""Doc."""\nfrom __future__')
    assert repair.insert_guard(once, "mamba_ssm_portable") == once


def test_self_keeps_its_own_name_and_pins_torch():
    own = replace(made(abi="torch"), upstream=plan.Choice(tables.ProjectVersion(tables.Project("self"), ""), "test"))
    text = metadata.compose_metadata(
        own, ["Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Dist: torch\n\n"], {}, ()
    )
    assert "Name: tiny\nVersion: 1.0\nRequires-Dist: torch==2.11.*\n" in text


def self_metadata(pkg_info, **replaced):
    own = replace(made(), upstream=plan.Choice(tables.ProjectVersion(tables.Project("self"), ""), "test"), **replaced)
    return metadata.compose_metadata(own, [pkg_info], {}, ())


def test_authors_outside_ascii_and_folded_lines_stay_readable():
    pkg_info = (
        "Name: tiny\nVersion: 1.0\nSummary: Zustandsräume\n        auf der\n\tGPU\nAuthor: 陳大文, Łukasz Ž.\n\nÜber\n"
    )
    text = self_metadata(pkg_info)
    assert "\nSummary: Zustandsräume auf der GPU\n" in text
    assert "\nAuthor: 陳大文, Łukasz Ž.\n" in text
    assert text.endswith("\n\nÜber\n")


def test_description_is_the_body_with_one_kind_of_line_end():
    assert self_metadata("Name: tiny\r\nVersion: 1.0\r\n\r\n# A\r\n\r\nb\rc\n").endswith("\n\n# A\n\nb\nc\n")
    field = "Name: tiny\nVersion: 1.0\nDescription: # A\n        \n            code\n       |text\n\n"
    text = self_metadata(field)
    assert text.endswith("\n\n# A\n\n    code\ntext\n")
    assert "Description:" not in text


@hypothesis.settings(deadline=None)
@given(st.text(), st.sampled_from(["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"]), st.text())
def test_no_value_can_add_a_field(before, line_end, after):
    value = f"a{before}{line_end}Requires-Dist: evil{after}"
    text = metadata.rfc822([("Name", "tiny"), ("Summary", value), ("License-File", value)], "body\n")
    # As pip reads it; a lone surrogate cannot come from a file that is read as UTF-8.
    message = email.message_from_string(text.encode("utf-8", "replace").decode("utf-8"))
    assert message.keys() == ["Name", "Summary", "License-File"]
    assert message.get_payload() == "body\n"


def test_unknown_metadata_field_is_dropped():
    assert "X-Internal" not in self_metadata("Name: tiny\nVersion: 1.0\nX-Internal: secret\n\n")


@pytest.mark.parametrize(
    ("pkg_info", "found"),
    [
        ("Name: tiny\n\n", "has no Version"),
        ("Version: 1.0\n\n", "has no Name"),
        ("Name: tiny\nVersion: 1.0\nRequires-Dist: a b c\n\n", "cannot be understood"),
        ("Name: tiny\nVersion: 1.0\nRequires-Python: three\n\n", "cannot be understood"),
    ],
)
def test_unreliable_metadata_are_one_sentence(pkg_info, found):
    with pytest.raises(SourceError, match=found) as caught:
        self_metadata(pkg_info)
    assert "\n" not in str(caught.value)


def test_pkg_info_that_is_not_utf_8_is_reported(tmp_path):
    (tmp_path / "PKG-INFO").write_bytes("Name: tiny\nAuthor: Jörg\n".encode("latin-1"))
    with pytest.raises(SourceError, match="it is not UTF-8"):
        metadata.released_pkg_info(tmp_path)


REQUIRES = """
torch
einops>=0.6

[:python_version < "3.11"]
tomli

[causal-conv1d]
causal-conv1d>=1.2

[dev:sys_platform == "linux"]
pytest
"""


def test_requires_txt_of_an_old_setuptools_is_read():
    text = with_requirements("Metadata-Version: 2.1\nName: a\nVersion: 1\n\nThe text\n", REQUIRES)
    message = HeaderParser().parsestr(text)
    found = [str(Requirement(item)) for item in message.get_all("Requires-Dist")]
    assert found == [
        "torch",
        "einops>=0.6",
        'tomli; python_version < "3.11"',
        'causal-conv1d>=1.2; extra == "causal-conv1d"',
        'pytest; sys_platform == "linux" and extra == "dev"',
    ]
    assert message.get_all("Provides-Extra") == ["causal-conv1d", "dev"]
    assert message.get_payload() == "The text\n"
    assert with_requirements(text, "numpy\n") == text
    assert with_requirements("Name: a\nVersion: 1\n", "") == "Name: a\nVersion: 1\n"
