"""The time of ``explain`` grows only with the length of a log, and its memory does not grow, for any log."""

import importlib
import io
import re
import resource
import subprocess
import sys
import time

import pytest
from support import ROOT

from mamba_build_backend.compile import known_failures, log_text, long_log
from mamba_build_backend.tables import read_rows

try:
    parser = importlib.import_module("re._parser")  # the one that re itself uses, under its name since Python 3.11
except ImportError:
    parser = importlib.import_module("sre_parse")

SIZE = 1_000_000
FAILURES = {item.id: item for item in known_failures.load_failures()}


def samples(tree):
    """What a pattern could match, as texts: one for each branch, with the shortest of each repeat."""
    whole = [""]
    for name, given in tree:
        whole = [head + tail for head in whole for tail in part(str(name), given)][:40]
    return whole


def part(name, given):
    if name == "LITERAL":
        return [chr(given)]
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return [text * max(given[0], 1) for text in samples(given[2])]
    if name == "SUBPATTERN":
        return samples(given[-1])
    if name == "BRANCH":
        return [text for branch in given[1] for text in samples(branch)]
    if name == "IN":
        return [letter_of(given)]
    if name == "ANY":
        return ["a"]
    if name == "NOT_LITERAL":
        return ["a" if given != ord("a") else "b"]
    return [""]


def letter_of(given):
    pattern = re.compile("[" + "".join(class_text(str(name), item) for name, item in given) + "]")
    return next(letter for letter in "a1_ -Ax.\n)'é=<>\"nt" if pattern.match(letter))


def class_text(name, item):
    names = {"CATEGORY_DIGIT": r"\d", "CATEGORY_WORD": r"\w", "CATEGORY_SPACE": r"\s"}
    upper = {"CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_NOT_WORD": r"\W", "CATEGORY_NOT_SPACE": r"\S"}
    if name == "NEGATE":
        return "^"
    if name == "CATEGORY":
        return {**names, **upper}[str(item)]
    if name == "RANGE":
        return f"{re.escape(chr(item[0]))}-{re.escape(chr(item[1]))}"
    return re.escape(chr(item))


def repeats(tree):
    for name, given in tree:
        if str(name) in ("MAX_REPEAT", "MIN_REPEAT"):
            yield given
            yield from repeats(given[2])
        elif str(name) == "SUBPATTERN":
            yield from repeats(given[-1])
        elif str(name) == "BRANCH":
            for branch in given[1]:
                yield from repeats(branch)
        elif str(name) in ("ASSERT", "ASSERT_NOT"):
            yield from repeats(given[1])


def hostile(pattern):
    """Texts of a million letters that almost match: a repeated start of a match, and a start with an endless rest."""
    for sample in samples(parser.parse(pattern)):
        starts = {sample[:cut] for cut in range(1, len(sample)) if not sample[cut - 1].isalnum()} | {sample[:-1]}
        for start in sorted(filter(None, starts), key=len)[-6:]:
            yield (start * (SIZE // len(start) + 1))[:SIZE]
        for letter in {sample[-2:-1] or "a", "a", " ", "\n", "1"}:
            yield (sample[: len(sample) // 2] + letter * SIZE)[:SIZE]


@pytest.mark.parametrize("name", FAILURES)
def test_every_pattern_repeat_is_bounded(name):
    item = FAILURES[name]
    for pattern in filter(None, (item.pattern, item.fragment)):
        assert all(most != parser.MAXREPEAT for _, most, _ in repeats(parser.parse(pattern.pattern)))


def test_bounding_a_repeat_keeps_its_meaning():
    assert log_text.bounded(r"a+b*?[+*\]]+\+x{2}[^]]*").pattern == r"a{1,500}b{0,500}?[+*\]]{1,500}\+x{2}[^]]{0,500}"
    for row in read_rows("failures", array="failure"):
        plain, made = re.compile(row["pattern"]), FAILURES[row["id"]].pattern
        assert (plain.groups, plain.groupindex) == (made.groups, made.groupindex)


@pytest.mark.parametrize("name", [name for name, item in FAILURES.items() if item.pattern.pattern != r"\A"])
def test_every_match_holds_one_of_the_words_of_its_pattern(name):
    item = FAILURES[name]
    assert item.words
    matched = [text for text in samples(parser.parse(item.pattern.pattern)) if item.pattern.search(text)]
    assert matched
    assert all(any(word in text for word in item.words) for text in matched)


@pytest.mark.parametrize("name", FAILURES)
def test_pattern_reads_its_worst_text_in_time(name):
    pattern = FAILURES[name].pattern
    texts = list(dict.fromkeys(hostile(pattern.pattern)))
    assert texts
    for text in texts[:24]:
        start = time.process_time()
        pattern.search(text)
        assert time.process_time() - start < 1, text[:80]


@pytest.mark.parametrize("text", ["<urlopen error ", "Cannot install ", "Wheel 'a' located at ", "\x1b[", "a", " ", "\n",
    "FAILED: ", "error: ", "undefined symbol: _Z2at", "#1 1.", "Killed "])  # fmt: skip
def test_a_million_letters_are_explained_in_time(text):
    whole = (text * (SIZE // len(text)))[:SIZE]
    start = time.process_time()
    known_failures.explain(whole)
    assert time.process_time() - start < 2


MEMORY = 110 << 20
"""Bytes of address space; Python itself takes a third."""
MESSAGE = "ImportError: /lib64/libc.so.6: version `GLIBC_2.32' not found (required by x.so)\n"


def explained(text):
    """What ``explain`` says of a file with this text."""
    return known_failures.explain(long_log.read_log(io.BytesIO(text.encode())))


@pytest.mark.parametrize("at", [0, 200_000, (1 << 18) - 40, 262_144, 300_000, 899_999])
@pytest.mark.parametrize("line", ["x" * 99 + "\n", "x"])
def test_message_is_found_anywhere_in_a_log(at, line):
    filler = line * (900_000 // len(line))
    end = filler.rfind("\n", 0, at) + 1 or at
    (best,) = explained(f"{filler[:end]}\n{MESSAGE}{filler[end:]}").explanations
    assert best.id == "glibc-too-old"
    assert best.line == MESSAGE.strip()


def test_first_error_of_a_long_log_equals_that_of_its_text():
    text = "a\nerror: early\nb\n" + "y\n" * 200_000 + "FAILED: x.o\nhm\nx.cu: error: late\nerror: later\n" + "z\n" * 10
    assert len(text) > long_log.WHOLE
    assert explained(text).first_error == log_text.first_error(text) == "x.cu: error: late"


def test_failure_of_the_last_line_is_not_found_in_the_middle():
    hanging = "Guessing wheel URL: https://a/b.whl\n"
    assert [item.id for item in known_failures.explain(hanging).explanations] == ["wheel-download-hangs"]
    text = hanging + "\n" * (1 << 19) + "Building wheels\n"
    assert "wheel-download-hangs" not in [item.id for item in explained(text).explanations]


@pytest.mark.parametrize("line", [b"nvcc -c a.cu -o a.o\n" * 400, b"x" * 8000])
def test_memory_does_not_grow_with_the_log(tmp_path, line):
    """A log of 30 MB, in a process that may have no more memory than a small one needs."""
    log = tmp_path / "big.log"
    log.write_bytes(line * (30_000_000 // len(line)))
    most = MEMORY

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    command = [sys.executable, "-m", "mamba_build_backend", "explain"]
    for arguments, given in (([log], None), ([], log.open("rb"))):
        done = subprocess.run(
            [*command, *arguments], cwd=ROOT, check=False, stdin=given, preexec_fn=limited, capture_output=True
        )
        assert done.returncode == 1, done.stderr[-500:]
    assert isinstance(given, io.BufferedReader)
    given.close()


def test_a_binary_file_is_an_unknown_log():
    start = time.process_time()
    text = long_log.read_log(io.BytesIO(bytes(range(256)) * 80_000))
    assert not known_failures.explain(text).explanations
    assert time.process_time() - start < 15


def test_every_message_is_found_in_the_middle_of_a_long_log():
    """All samples in one log, each as far from the next as one part of a log is long."""
    noise = "a line of output like many others\n" * 8_000
    samples_ = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "logs").glob("*.txt"))]
    wanted = {item.id for item in FAILURES.values() for text in samples_ if item.pattern.search(log_text.cleaned(text))}
    kept = long_log.read_log(io.BytesIO((noise + noise.join(f"{text}\n" for text in samples_) + noise).encode()))
    assert len(kept) < 3 * long_log.WHOLE
    lost = {name for name in wanted if not FAILURES[name].pattern.search(kept)}
    assert lost <= {"wheel-download-hangs", "building-without-a-word"}, "what ends a log is not at its end here"
