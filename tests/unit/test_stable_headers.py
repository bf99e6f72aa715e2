"""The headers of abi=stable: the stand-in for a missing Python.h declares every name of Python that they use."""

import re

from support import ROOT

INCLUDE = ROOT / "mamba_build_backend" / "stable" / "include"
OWN = INCLUDE / "Python.h"
NAME = re.compile(r"\b_?Py(?:[A-Z][a-z]+|_)\w*|\bMETH_[A-Z]+\b")
NOT_PYTHONS = {"Py_LIMITED_API", "PyInit_", "PyTorch"}
"""What the headers define, and a word of a comment."""


def names(text):
    return set(NAME.findall(text)) - NOT_PYTHONS


def test_every_name_of_python_that_the_headers_use_is_declared():
    declared = names(OWN.read_text())
    used = {name for path in INCLUDE.rglob("*.h") if path != OWN for name in names(path.read_text())}
    assert len(used) > 40
    assert used <= declared


def test_python_header_comes_first_if_present():
    text = OWN.read_text()
    assert text.index("#include_next <Python.h>") < text.index("typedef")
