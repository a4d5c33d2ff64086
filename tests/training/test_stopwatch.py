"""Where the time goes."""

import time

import pytest

from ambient_policy.training.stopwatch import Stopwatch, summary


def test_shares_of_a_lap(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 1.0, 1.0, 4.0, 5.0, 5.0, 6.0, 8.0, 10.0, 10.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    watch = Stopwatch()
    with watch("data"):
        pass
    with watch("step"):
        pass
    assert watch.lap(samples=20) == {
        "samples_per_second": 4.0,
        "data_share": 0.2,
        "step_share": 0.6,
    }
    with watch("step"):
        pass
    assert watch.lap(samples=5) == {"samples_per_second": 1.0, "step_share": 0.4}


def test_a_summary_is_of_medians() -> None:
    rows = [
        {"samples_per_second": speed, "data_share": 0.01, "step_share": 0.9, "loss": 1.0}
        for speed in (10.0, 2000.0, 3000.0)
    ]
    assert summary(rows) == "2,000 samples/s; 1.0% of the time in data, 90.0% in steps"
