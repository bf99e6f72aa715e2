"""The parser of nvcc's options, for any options in upstream's setup.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamba_build_backend.toolchain.shims.nvcc_options import (
    ARCHITECTURES,
    REPLACED,
    VALUED,
    join,
    parse,
    replace_upstreams,
    without,
)

PLANNED = [
    *("-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_80,code=sm_90", "--threads", "5", "-lineinfo"),
    *("--split-compile", "4", "--compress-mode=size", "-std=c++20", "-ccbin", "/w/bin/g++"),
]
"""All that a plan can say."""
GENCODES = [
    *("arch=compute_75,code=sm_75", "arch=compute_80,code=[sm_80,sm_90,compute_80]", "sm_80", "compute_80", "native"),
    *("all", "all-major", "sm_90a", "sm_80,compute_80"),
]
PLAIN = [
    "-O3",
    "-DNDEBUG",
    "-I/usr/include",
    "--use_fast_math",
    "--expt-relaxed-constexpr",
    "k.cu",
    "-lineinfo",
    "-x",
    "",
    "-",
    "--",
]

words = st.lists(st.one_of(st.sampled_from([*VALUED, *PLAIN, *GENCODES, "-t4"]), st.text(max_size=8)), max_size=12)


@st.composite
def option(draw, spellings=tuple(VALUED), values=None):
    """A complete option, its value as a word of its own or behind ``=``."""
    spelling, value = draw(st.sampled_from(spellings)), draw(st.text(max_size=8) if values is None else values)
    return draw(st.sampled_from([[spelling, value], [f"{spelling}={value}"]]))


selects = option(tuple(name for name in VALUED if VALUED[name] in ARCHITECTURES), st.sampled_from(GENCODES))
others = option(tuple(name for name in VALUED if VALUED[name] not in ARCHITECTURES))
plain = st.sampled_from(PLAIN).map(lambda word: [word] if word != "-x" else ["-x", "cu"])


@given(words)
def test_the_words_come_back(given_words):
    assert join(parse(given_words)) == given_words


@given(words)
def test_rewriting_twice_is_rewriting_once(given_words):
    once = replace_upstreams(given_words, PLANNED)
    assert replace_upstreams(once, PLANNED) == once


@given(st.lists(st.one_of(selects, others, plain)))
def test_no_architecture_of_upstream_survives(options):
    given_words = [word for item in options for word in item]
    for rest in (replace_upstreams(given_words, []), without(given_words, ARCHITECTURES)):
        assert not [item for item in parse(rest) if item.name in ARCHITECTURES]
    # The remaining words are the other options, in their order and whole.
    kept = [
        item
        for item in options
        if not item[0].startswith(tuple(name for name in VALUED if VALUED[name] in ARCHITECTURES))
    ]
    assert without(given_words, ARCHITECTURES) == [word for item in kept for word in item]


@given(st.lists(st.one_of(selects, others, plain)))
def test_plan_options_come_once_and_last(options):
    rest = replace_upstreams([word for item in options for word in item], PLANNED)
    assert rest[-len(PLANNED) :] == PLANNED
    assert not [item for item in parse(rest[: -len(PLANNED)]) if item.name in REPLACED]


@pytest.mark.parametrize(
    "spelling",
    [
        ["-gencode", "arch=compute_80,code=sm_80"],
        ["-gencode=arch=compute_80,code=sm_80"],
        ["--generate-code", "arch=compute_80,code=sm_80"],
        ["--generate-code=arch=compute_80,code=sm_80"],
        ["-arch=sm_80"],
        ["-arch", "sm_80"],
        ["--gpu-architecture=compute_80"],
        ["--gpu-architecture", "compute_80"],
        ["-code=sm_80"],
        ["-code", "sm_80"],
        ["--gpu-code=sm_80"],
        ["--gpu-code", "sm_80"],
    ],
)
def test_each_spelling_of_an_architecture_is_known(spelling):
    (item,) = parse(spelling)
    assert item.name in ARCHITECTURES
    assert item.value == spelling[-1].split("=", len(spelling) == 1)[-1]


def test_option_for_another_program_is_a_value():
    given_words = ["-Xcompiler", "-std=c++14", "-Xptxas", "-arch=sm_80", "-include", "-gencode"]
    assert replace_upstreams(given_words, []) == given_words


def test_an_option_without_its_value_would_take_the_plans_first_word():
    assert replace_upstreams(["-O3", "-Xcompiler"], ["-std=c++20"]) == ["-O3", "-std=c++20"]
