"""What is decided and told on recorded machines with something changed: tests/changed_machines.py has the cases, and their texts beside it."""

import pytest
from changed_machines import AGREED, CASES

TEXTS = {text.partition(" (")[0]: f"== {text}" for text in AGREED.read_text(encoding="utf-8").split("== ")[1:]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_changed_machine_is_told_what_was_agreed_on(case):
    """``python tests/update_reports.py`` writes the texts anew."""
    assert case.text() == TEXTS[case.name]


def test_each_text_has_a_case_and_each_case_a_name_of_its_own():
    assert list(TEXTS) == [case.name for case in CASES]
