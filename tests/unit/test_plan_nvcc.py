"""What nvcc is told."""

import pytest

from mamba_build_backend.core.errors import SettingsError
from mamba_build_backend.plan.nvcc import EnvironmentFlags, environment_flags


def test_words_of_the_environment_reach_nvcc_as_the_plan_leaves_them():
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


def test_a_quote_that_is_not_closed_is_said_before_anything_is_compiled():
    with pytest.raises(SettingsError, match="NVCC_APPEND_FLAGS=-Xptxas '-v: No closing quotation") as caught:
        environment_flags({"NVCC_APPEND_FLAGS": "-Xptxas '-v"})
    assert caught.value.problems[0].fix == ("unset NVCC_APPEND_FLAGS",)
