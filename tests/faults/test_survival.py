"""The scenarios of the soak that show something in seconds, at their quick length; all of them in full: make soak."""

import pytest
from scenarios import connections, declare_a_million, slowloris
from stage import play


@pytest.mark.parametrize("scenario", [connections, declare_a_million, slowloris], ids=lambda scenario: scenario.NAME)
def test_survives(scenario, tmp_path):
    outcome = play(scenario, tmp_path / "stage", quick=True)
    print(outcome.did, outcome.found)
    assert not outcome.broken, outcome.broken
