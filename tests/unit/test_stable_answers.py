"""What upstream's bindings answer, as a text that is read and compared: tests/stable/answers.txt."""

import pytest
from stable.answers import ANSWERS, parse, render

RECORDED = {
    "fwd cpu": ("RuntimeError", "Expected u.is_cuda() to be true\nbut got false: “no”"),
    "fwd long": None,
    "bwd argument 0 None": ("TypeError", " with blanks "),
    "bwd argument 1 None": ("TypeError", " with blanks "),
}


def test_answers_survive_their_text():
    assert parse(render("2.11.0", RECORDED)) == RECORDED


def test_each_answer_is_a_line_with_its_count_above_the_calls_that_get_it():
    assert render("2.11.0", RECORDED).splitlines()[3:7] == [
        "bwd: 2 TypeError",
        '  2 TypeError " with blanks "',
        "    argument 0 None",
        "    argument 1 None",
    ]


def test_a_call_that_gets_another_answer_changes_few_lines():
    before = render("2.11.0", RECORDED).splitlines()
    after = render("2.11.0", {**RECORDED, "fwd long": ("RuntimeError", "too long")}).splitlines()
    assert sorted(set(after) - set(before)) == ['  1 RuntimeError "too long"', "fwd: 2 RuntimeError"]


def test_recorded_answers_are_in_canonical_form():
    answers = parse(ANSWERS.read_text(encoding="utf-8"))
    assert {call.partition(" ")[0] for call in answers} == {
        "fwd", "bwd", "causal_conv1d_fwd", "causal_conv1d_bwd", "causal_conv1d_update",
    }  # fmt: skip


@pytest.mark.parametrize("wrong", [("fwd: 1 ", "fwd: 2 "), ("  2 TypeError", "  3 TypeError"), ("    cpu\n", "")])
def test_wrong_line_count_is_refused(wrong):
    text = render("2.11.0", RECORDED)
    assert wrong[0] in text
    with pytest.raises(ValueError, match="changed by hand"):
        parse(text.replace(*wrong))
