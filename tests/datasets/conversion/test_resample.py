"""Resampling: what each method keeps, exactly; no observation shows what comes after it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ambient_datasets.conversion.resample import AHEAD, METHODS, Resample, narrow, resample
from ambient_datasets.records import Episode
from ambient_policy.errors import SettingsError
from tests.datasets.listed import listed

FILE = Path("some.file")
RATES = [(10.0, 20.0), (10.0, 5.0), (20.0, 15.0), (5.0, 12.0), (29.97, 10.0), (3.0, 50.0)]
ROWS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20)
RATE = st.sampled_from([1.0, 3.0, 5.0, 10.0, 14.99, 15.0, 20.0, 29.97, 50.0])


def run(
    values: Any,
    old: float,
    new: float,
    method: str,
    *,
    observed: bool = False,
    frames: NDArray[np.uint8] | None = None,
) -> Episode:
    """The episode at the new rate; its values are in actions (or, observed, in observations)."""
    table = np.asarray(values, np.float64).reshape(len(values), -1)
    hold = ["hold"] * table.shape[1]
    given = [method] * table.shape[1]
    ways = (given, hold) if observed else (hold, given)
    return resample(FILE, listed(table, table, rate=old, frames=frames), new, *ways).episode(0)


def column(values: Any, old: float, new: float, method: str) -> NDArray[np.float32]:
    return run(values, old, new, method).actions[:, 0]


@pytest.mark.parametrize("method", METHODS)
@given(rows=ROWS, rate=RATE)
def test_at_the_same_rate_nothing_changes(method: str, rows: list[float], rate: float) -> None:
    same = column(rows, rate, rate, method)
    np.testing.assert_array_equal(same, np.array(rows, np.float32))


@given(rows=ROWS, old=RATE, new=RATE)
def test_the_new_rows_are_those_that_begin_before_the_end(
    rows: list[float], old: float, new: float
) -> None:
    given, end = len(column(rows, old, new, "hold")), len(rows) / old
    assert (given - 1) / new < end <= given / new * (1 + 1e-9)


@pytest.mark.parametrize(
    ("rows", "old", "new", "count"),
    [(4, 10, 20, 8), (5, 10, 5, 3), (1, 10, 5, 1), (1, 5, 20, 4), (7, 29.97, 2.997, 1)],
)
def test_how_many_rows(rows: int, old: float, new: float, count: int) -> None:
    assert len(column(np.arange(rows), old, new, "hold")) == count


def test_the_rate_of_what_comes_out_is_the_new_one() -> None:
    source = listed([[1.0]], [[1.0]], rate=10)
    assert resample(FILE, source, 4.0, ["hold"], ["hold"]).attributes.control_rate == 4.0


@given(rows=ROWS, old=RATE, new=RATE)
def test_sums_keep_the_total_up_and_down(rows: list[float], old: float, new: float) -> None:
    summed = column(rows, old, new, "sum").astype(np.float64).sum()
    np.testing.assert_allclose(summed, np.sum(rows), atol=1e-3)


@given(rows=ROWS, old=RATE, new=RATE)
def test_sums_lead_along_the_path_of_the_source(rows: list[float], old: float, new: float) -> None:
    path = np.cumsum(column(rows, old, new, "sum"), dtype=np.float64)
    times = np.minimum(np.arange(1, len(path) + 1) / new, len(rows) / old)
    source = np.interp(times, np.arange(len(rows) + 1) / old, np.cumsum([0.0, *rows]))
    np.testing.assert_allclose(path, source, atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
@given(rows=ROWS, rate=RATE, times=st.integers(2, 9))
def test_up_and_down_again_changes_nothing(
    method: str, rows: list[float], rate: float, times: int
) -> None:
    back = column(column(rows, rate, times * rate, method), times * rate, rate, method)
    np.testing.assert_allclose(back, rows, rtol=1e-4, atol=1e-4)


def test_sums_by_hand() -> None:
    np.testing.assert_array_equal(column([2, 4], 10, 20, "sum"), [1, 1, 2, 2])
    np.testing.assert_array_equal(column([1, 2, 3, 4, 5], 10, 5, "sum"), [3, 7, 5])
    np.testing.assert_allclose(column([3, 6, 9], 3, 2, "sum"), [3 + 3, 3 + 9])


@given(rows=ROWS, old=RATE, new=RATE)
def test_means_are_sums_over_their_time(rows: list[float], old: float, new: float) -> None:
    mean, total = (column(rows, old, new, method) for method in ("mean", "sum"))
    ends = np.minimum(np.arange(len(mean) + 1) * old / new, len(rows))
    np.testing.assert_allclose(mean * np.diff(ends), total, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(column([7.0] * len(rows), old, new, "mean"), 7, rtol=1e-6)


@pytest.mark.parametrize(("old", "new"), RATES)
@pytest.mark.parametrize("method", ["linear", "angle"])
def test_a_straight_line_stays_one(old: float, new: float, method: str) -> None:
    times = np.arange(20) / old
    line = column(0.5 - 0.25 * times, old, new, method)
    reached = np.minimum(np.arange(len(line)) / new, times[-1])  # then the last value is held
    np.testing.assert_allclose(line, 0.5 - 0.25 * reached, atol=1e-6)


@pytest.mark.parametrize("turn", [0.0, math.pi], ids=["-pi to pi", "0 to 2 pi"])
@pytest.mark.parametrize(("old", "new"), RATES)
@pytest.mark.parametrize("speed", [2.0, -2.0])
def test_an_angle_goes_the_short_way_over_its_seam(
    turn: float, old: float, new: float, speed: float
) -> None:
    times = np.arange(40) / old
    first = -math.pi + turn
    angles = first + np.mod(speed * times - first, 2 * math.pi)
    got = column(angles, old, new, "angle").astype(np.float64)
    true = speed * np.minimum(np.arange(len(got)) / new, times[-1])
    np.testing.assert_allclose(np.cos(got - true), 1, atol=1e-6)
    assert got.min() >= first - 1e-6 and got.max() < first + 2 * math.pi + 1e-6


@pytest.mark.parametrize("method", ["angle", "target_angle"])
@pytest.mark.parametrize("first", [-math.pi, 0.0])
@given(before=st.floats(0, 1), after=st.floats(0, 1), part=st.integers(1, 8))
def test_an_angle_stays_below_the_end_of_its_turn_as_float32(
    method: str, first: float, before: float, after: float, part: int
) -> None:
    low, end = np.float32(first), np.float32(first + 2 * math.pi)
    edge = [np.nextafter(end - np.float32(before), low), low + np.float32(after)]
    for rows in (edge, edge[::-1]):
        got = column(rows, 1.0, float(part), method)
        assert (got >= low).all() and (got < end).all()


def test_what_rounds_to_the_seam_is_the_other_end_of_the_turn() -> None:
    pi, turn = np.float32(np.pi), np.float32(2 * np.pi)  # both just above what they stand for
    last = np.nextafter(pi, np.float32(0))
    assert column([last, -last], 2, 5, "angle")[1] == -pi  # in float64 2 / 5 on the way is below pi
    assert column([last, last, -last], 2, 5, "target_angle")[5] == -pi
    assert column([np.nextafter(turn, np.float32(0)), 2e-7], 1, 2, "angle")[1] == 0
    np.testing.assert_array_equal(narrow(np.array([np.pi - 1e-12, 1.0])), np.array([-pi, 1]))
    np.testing.assert_array_equal(narrow(np.array([2 * np.pi - 1e-12, 3.5]), 0.0), [0, 3.5])


def test_an_angle_that_is_counted_on_stays_so() -> None:
    np.testing.assert_allclose(column([9, 10], 10, 20, "angle"), [9, 9.5, 10, 10], rtol=1e-6)


RATIOS = [(20, 10), (15, 10), (7, 3), (10, 10), (5, 10), (3, 7), (10, 15)]


@pytest.mark.parametrize(("old", "new"), RATIOS)
@given(rows=ROWS)
def test_targets_and_increments_tell_one_motion(old: int, new: int, rows: list[float]) -> None:
    """Summed and then added up, or added up and then read as targets."""
    target = column(np.cumsum(rows), old, new, "target")
    path = np.cumsum(column(rows, old, new, "sum"), dtype=np.float64)
    led = -(-new // old) - 1  # the first new row that ends with the first old one, or after it
    np.testing.assert_allclose(target[led:], path[led:], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(target[:led], rows[0], rtol=1e-6)


@pytest.mark.parametrize(("old", "new"), RATIOS)
@pytest.mark.parametrize(
    ("seen", "told"), [("linear", "target"), ("angle", "target_angle"), ("hold", "target_hold")]
)
def test_a_state_one_row_later_stays_one(old: int, new: int, seen: str, told: str) -> None:
    """At each new row's end the state is what its action said."""
    angles = np.mod(np.cumsum(np.random.default_rng(0).uniform(-1, 1, 43)) + np.pi, 2 * np.pi)
    states = angles - np.pi
    action = column(states[1:], old, new, told)
    state = column(states, old, new, seen)
    ends = np.arange(1, len(state)) * old / new
    known = np.flatnonzero((ends >= 1) & (ends <= 42))
    assert len(known) > 15
    np.testing.assert_allclose(action[known], state[known + 1], atol=1e-6)


@pytest.mark.parametrize("new", [5.0, 10.0, 15.0, 40.0])
def test_targets_keep_the_demonstrated_speed(new: float) -> None:
    times = np.arange(61) / 20
    state = column(0.2 * times[:-1], 20, new, "linear")
    action = column(0.2 * times[1:], 20, new, "target")
    inner = slice(int(new / 20), -3)
    np.testing.assert_allclose((action - state)[inner] * new, 0.2, atol=1e-4)


def test_targets_by_hand() -> None:
    np.testing.assert_array_equal(column([1, 2, 4, 8, 9], 10, 5, "target"), [2, 8, 9])
    np.testing.assert_array_equal(column([1, 2, 4], 10, 20, "target"), [1, 1, 1.5, 2, 3, 4])
    np.testing.assert_array_equal(column([1, 2, 4], 10, 20, "target_hold"), [1, 1, 1, 2, 2, 4])
    np.testing.assert_array_equal(column([3, -3], 10, 20, "target_angle")[[0, 1, 3]], [3, 3, -3])


@given(rows=ROWS, times=st.integers(1, 9))
def test_a_held_switch_goes_with_every_part_of_its_increment(rows: list[float], times: int) -> None:
    """At a higher rate the pairs of way and switch are the source's."""
    way, switch = (column(rows, 10, 10 * times, method) for method in ("sum", "hold"))
    np.testing.assert_allclose(way * times, switch, rtol=1e-4, atol=1e-4)


@given(rows=ROWS, old=RATE, new=RATE)
def test_hold_never_shows_what_is_to_come(rows: list[float], old: float, new: float) -> None:
    held = column(np.arange(len(rows)), old, new, "hold").astype(np.float64)
    times = np.arange(len(held)) / new
    assert (held / old <= times + 1e-9).all() and ((held + 1) / old > times - 1e-9).all()


@given(rows=ROWS, old=RATE, new=RATE)
def test_frames_follow_hold(rows: list[float], old: float, new: float) -> None:
    count = np.arange(len(rows))
    frames = np.zeros((len(rows), 2, 2, 3), np.uint8) + count[:, None, None, None].astype(np.uint8)
    episode = run(count, old, new, "hold", frames=frames)
    np.testing.assert_array_equal(episode.images["top"][:, 0, 0, 0], episode.actions[:, 0])


def test_each_column_has_its_own_way() -> None:
    source = listed([[0.0, 1.0], [2.0, 3.0]], [[4.0, 8.0], [6.0, 2.0]], rate=10)
    episode = resample(FILE, source, 20.0, ["linear", "hold"], ["sum", "mean"]).episode(0)
    np.testing.assert_array_equal(episode.observations, [[0, 1], [1, 1], [2, 3], [2, 3]])
    np.testing.assert_array_equal(episode.actions, [[2, 8], [2, 8], [3, 2], [3, 2]])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("new", [5.0, 40.0])
def test_one_row_stays_what_it_is(method: str, new: float) -> None:
    values = column([6.0], 10, new, method)
    share = 1 if method != "sum" else 1 / len(values)
    np.testing.assert_allclose(values, 6.0 * share)


@pytest.mark.parametrize("method", AHEAD)
def test_an_observation_of_the_future_is_refused(method: str) -> None:
    with pytest.raises(SettingsError, match="column 'state_0' = .* show what comes after it"):
        run([1.0], 10, 20, method, observed=True)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"rate": 0.0}, "resample.rate = 0.0: give the rows per second"),
        ({"rate": math.nan}, "resample.rate = nan"),
        ({"actions": "sums"}, "unknown resample.actions = 'sums'; known: angle.*mean 'sum'"),
        ({"observations": "sum"}, "resample.observations = 'sum': an observation would show"),
    ],
)
def test_settings_without_sense_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        Resample(**values)


@pytest.mark.parametrize("new", [1e-3, 1e5])
def test_a_rate_in_another_unit_is_refused(new: float) -> None:
    with pytest.raises(SettingsError, match="some.file: resample.rate = .*but the source has 10"):
        run([1.0, 2.0], 10, new, "hold")
