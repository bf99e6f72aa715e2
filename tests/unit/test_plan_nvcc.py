"""The options of nvcc."""

import pytest

from mamba_build_backend.core.errors import SettingsError
from mamba_build_backend.plan.nvcc import EnvironmentFlags, environment_flags


def test_environment_options_reach_nvcc_as_planned():
    environ = {
        "NVCC_PREPEND_FLAGS": "-ccbin /conda/g++ -Xptxas '-O1 -v'",
        "NVCC_APPEND_FLAGS": "-Ofc=max",
        "CFLAGS": "-O1",
    }
    flags = environment_flags(environ, [("NVCC_PREPEND_FLAGS", "-Xptxas '-O1 -v'"), ("CFLAGS", None)])
    assert flags == EnvironmentFlags(("-Xptxas", "-O1 -v"), ("-Ofc=max",))
    assert flags.notes() == [
        "NVCC_PREPEND_FLAGS=-Xptxas '-O1 -v' reaches nvcc",
        "NVCC_APPEND_FLAGS=-Ofc=max reaches nvcc",
    ]
    assert environment_flags(environ, [("NVCC_PREPEND_FLAGS", None)]).prepend == ()
    assert environment_flags({}).notes() == []


def test_unclosed_quote_is_reported_before_the_compile():
    with pytest.raises(SettingsError, match="NVCC_APPEND_FLAGS=-Xptxas '-v: No closing quotation") as caught:
        environment_flags({"NVCC_APPEND_FLAGS": "-Xptxas '-v"})
    assert caught.value.problems[0].fix == ("unset NVCC_APPEND_FLAGS",)
