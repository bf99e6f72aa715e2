"""Decisions and messages for changed recorded machines: tests/changed_machines.py has the cases and their texts."""

import pytest
from changed_machines import AGREED, CASES

TEXTS = {text.partition(" (")[0]: f"== {text}" for text in AGREED.read_text(encoding="utf-8").split("== ")[1:]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_changed_machine_gets_the_recorded_report(case):
    """``python tests/update_reports.py`` writes the texts anew."""
    assert case.text() == TEXTS[case.name]


def test_each_text_has_a_case_with_its_own_name():
    assert list(TEXTS) == [case.name for case in CASES]
