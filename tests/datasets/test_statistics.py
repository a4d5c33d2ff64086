"""Statistics merge: of parts, the same as of the whole; quantiles as precise as is said."""

from functools import reduce
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambient_datasets.sketch import ABSOLUTE, RELATIVE, Sketch
from ambient_datasets.statistics import Statistics
from ambient_policy.errors import DataError

Block = np.ndarray[Any, Any]

numbers = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**-149, -(2.0**-130), 3.4e38]),
)
rows = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40)


def block(given: Any) -> Block:
    return np.array(given, np.float32).reshape(-1, 2)


def same(one: Statistics, other: Statistics) -> None:
    """Equal: counts and extremes exactly, moments to rounding."""
    assert one.count == other.count
    for name in ("low", "high"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.sketch is not None and other.sketch is not None
    same_sketch(one.sketch, other.sketch)
    largest = np.abs([one.low, one.high]).max(axis=0).astype(np.float64)
    assert (np.abs(one.mean - other.mean) <= 1e-13 * largest).all()
    assert (np.abs(one.square - other.square) <= 1e-12 * one.count * largest**2).all()


def same_sketch(one: Sketch, other: Sketch) -> None:
    np.testing.assert_array_equal(one.keys, other.keys)
    np.testing.assert_array_equal(one.counts, other.counts)


@given(rows, st.data())
def test_parts_merge_to_the_whole(given: Any, data: st.DataObject) -> None:
    whole = block(given)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=4))
    parts = [Statistics.of(part) for part in np.split(whole, sorted(cuts))]
    same(reduce(Statistics.merge, parts), Statistics.of(whole))


@given(rows, rows, rows)
def test_merging_is_associative(one: Any, two: Any, three: Any) -> None:
    a, b, c = (Statistics.of(block(given)) for given in (one, two, three))
    one_way, other_way = a.merge(b).merge(c), c.merge(b).merge(a)
    for name in ("count", "totals", "squares"):  # in any order, to the last bit
        assert getattr(one_way, name) == getattr(other_way, name)
        assert getattr(one_way, name) == getattr(a.merge(b.merge(c)), name)
    same(one_way, other_way)


@given(rows, rows, rows)
def test_sketches_merge_in_any_order(one: Any, two: Any, three: Any) -> None:
    whole = Sketch.of(np.concatenate([block(one), block(two), block(three)]))
    for order in permutations((one, two, three)):
        same_sketch(reduce(Sketch.merge, [Sketch.of(block(given)) for given in order]), whole)


@given(rows, st.floats(0, 1))
def test_a_quantile_is_as_precise_as_is_said(given: Any, q: float) -> None:
    values = block(given)
    found = Statistics.of(values).quantile(q)
    place = q * (len(values) - 1)
    order = np.sort(values.astype(np.float64), axis=0)
    beside = order[[int(np.floor(place)), int(np.ceil(place))]]
    exact = beside[0] + (place % 1) * (beside[1] - beside[0])
    assert (np.abs(found - exact) <= allowed(np.abs(beside).max(axis=0))).all()
    assert (found >= values.min(axis=0)).all() and (found <= values.max(axis=0)).all()


def allowed(largest: Any) -> Any:
    """The error of a quantile between numbers of at most this size."""
    return np.maximum(RELATIVE * largest, ABSOLUTE)


@given(rows, st.floats(0, 1))
def test_quantiles_of_mirrored_numbers_are_mirrored(given: Any, q: float) -> None:
    values = block(given)
    found, mirrored = Statistics.of(values).quantile(q), Statistics.of(-values).quantile(1 - q)
    # both are told from the middles of the same bins; 1 - q is rounded
    rounding = 1e-12 * np.abs(values.astype(np.float64)).max(axis=0) + ABSOLUTE
    assert (np.abs(found + mirrored) <= rounding).all()


@pytest.mark.parametrize("n", [2, 10, 50, 51, 101])
def test_symmetric_numbers_have_quantiles_around_zero(n: int) -> None:
    counted = Statistics.of(np.linspace(-1, 1, n, dtype=np.float32)[:, None])
    for q in (0.01, 0.1, 0.25):
        assert counted.quantile(q) == pytest.approx(-counted.quantile(1 - q), abs=1e-6)
        assert counted.quantile(q) == pytest.approx(2 * q - 1, abs=2.0**-13)
    assert counted.quantile(0.5) == pytest.approx(0.0, abs=1e-6)


@given(rows)
def test_the_ends_of_quantiles_are_exact(given: Any) -> None:
    values, counted = block(given), Statistics.of(block(given))
    np.testing.assert_array_equal(counted.quantile(0), values.min(axis=0))
    np.testing.assert_array_equal(counted.quantile(1), values.max(axis=0))


def test_moments_are_numpys() -> None:
    values = np.random.default_rng(0).normal(3, 2, (5000, 4)).astype(np.float32)
    counted = Statistics.of_blocks(np.array_split(values, 7))
    np.testing.assert_allclose(counted.mean, values.mean(axis=0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(counted.deviation, values.std(axis=0, dtype=np.float64), rtol=1e-12)


def test_moments_far_from_zero_keep_their_digits() -> None:
    """The textbook formula, the mean of squares minus the square of the mean, would lose them."""
    values = (1e6 + np.random.default_rng(0).integers(0, 2, (4000, 1))).astype(np.float32)
    counted = Statistics.of_blocks(np.array_split(values, 9))
    np.testing.assert_allclose(counted.deviation, values.astype(np.float64).std(0), rtol=1e-11)


def test_quantiles_of_parts_must_not_be_averaged() -> None:
    one, two = np.zeros((99, 1), np.float32), np.ones((1, 1), np.float32)
    parts = Statistics.of(one), Statistics.of(two)
    averaged = np.mean([part.quantile(0.5) for part in parts])
    assert averaged == 0.5 and parts[0].merge(parts[1]).quantile(0.5) == 0.0
    weighted = 0.99 * parts[0].quantile(0.98) + 0.01 * parts[1].quantile(0.98)
    exact = np.quantile(np.concatenate([one, two]), 0.98, method="lower")
    assert weighted == 0.01 and parts[0].merge(parts[1]).quantile(0.98) == exact == 0.0


def test_a_constant_has_no_deviation_and_one_value() -> None:
    values = np.full((1000, 1), 0.1, np.float32)
    counted = Statistics.of_blocks(np.array_split(values, 3))
    assert counted.deviation == 0.0
    assert counted.quantile(0.01) == counted.quantile(0.99) == np.float32(0.1)


def test_a_single_row() -> None:
    counted = Statistics.of(np.array([[3.0, -4.0]], np.float32))
    assert counted.mean.tolist() == counted.quantile(0.3).tolist() == [3.0, -4.0]
    assert counted.deviation.tolist() == [0.0, 0.0]


def test_nothing_merges_to_nothing_and_changes_nothing() -> None:
    nothing, something = Statistics.empty(2), Statistics.of(block([(1, 2), (3, 5)]))
    same(nothing.merge(something), something)
    same(something.merge(nothing), something)
    assert nothing.merge(nothing).count == 0
    with pytest.raises(DataError, match="statistics of no numbers at all"):
        nothing.quantile(0.5)
    with pytest.raises(DataError, match="statistics of no numbers at all"):
        _ = nothing.deviation


def test_without_a_sketch_all_but_quantiles_is_the_same() -> None:
    values = np.random.default_rng(1).normal(size=(30, 2)).astype(np.float32)
    parts = np.array_split(values, 3)
    plain, whole = Statistics.of_blocks(parts, sketch=False), Statistics.of_blocks(parts)
    assert plain.count == whole.count and plain.sketch is None and plain.take([1]).sketch is None
    for name in ("mean", "square", "low", "high"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(whole, name))
    assert plain.merge(whole).sketch is None
    with pytest.raises(DataError, match="quantiles of statistics without a sketch"):
        plain.quantile(0.5)


def test_refusals() -> None:
    with pytest.raises(DataError, match="statistics of NaN or infinite numbers"):
        Statistics.of(np.array([[np.nan]], np.float32))
    with pytest.raises(DataError, match=r"quantile 1.5: give a share from 0 to 1"):
        Statistics.of(np.zeros((1, 1), np.float32)).quantile(1.5)
