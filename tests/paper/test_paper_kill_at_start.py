"""A kill that comes while the real `trader paper` starts: no order after it, and it holds."""

from pathlib import Path

import pytest

from tests.harness import kill_start

pytestmark = pytest.mark.process


def test_a_kill_at_any_moment_of_a_start_is_obeyed_and_the_run_goes_on_after_the_rearm(
    tmp_path: Path,
):
    met, wrong = kill_start.trials(tmp_path, 3, seed=1)
    assert wrong == []
    assert met[kill_start.REFUSED] > 0, "no kill came early"
    assert sum(met.values()) == 3
