"""kill -9 again and again under load; see scenarios/kills.py."""

from scenarios import kills
from stage import play


def test_kill_under_load(tmp_path, request):
    outcome = play(kills, tmp_path / "stage", quick=True, kills=request.config.getoption("--kills"))
    print(outcome.did, outcome.found)
    assert not outcome.broken, outcome.broken
