"""Statistics of a LeRobotDataset: of parts merged, the same as of the whole."""

from typing import Any

import numpy as np
import pytest

from ambient_datasets.formats.lerobot_stats import QUANTILES, Counter, Numbers, Pixels, Tally

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (7, 4, 6, 3), np.uint8)
TABLE = RNG.normal(3, 2, (50, 4)).astype(np.float32)
COUNTS = np.arange(2**40, 2**40 + 37)


def assert_close(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("kind", "values"), [(Numbers, TABLE), (Pixels, FRAMES), (Counter, COUNTS)]
)
def test_parts_merge_to_the_whole(kind: Any, values: Any) -> None:
    parts: list[Tally] = [kind.of(part) for part in np.split(values, [1, 5])]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert_close(merged.record(), kind.of(values).record())


def test_numbers_are_those_of_numpy() -> None:
    record = Numbers.of(TABLE).record()
    for name, value in (
        ("min", TABLE.min(0)),
        ("max", TABLE.max(0)),
        ("mean", TABLE.mean(0, np.float64)),
        ("std", TABLE.std(0, np.float64)),
        ("count", [50]),
    ):
        np.testing.assert_allclose(record[name], value, rtol=1e-6)
    for name, q in QUANTILES.items():
        expected = np.quantile(TABLE, q, axis=0)
        np.testing.assert_allclose(record[name], expected, rtol=2e-4, atol=2e-4, err_msg=name)


def test_pixels_are_those_of_numpy() -> None:
    record, colours = Pixels.of(FRAMES).record(), FRAMES.reshape(-1, 3) / 255
    assert np.shape(record["mean"]) == (3, 1, 1) and record["count"] == [7]
    for name, value in (
        ("min", colours.min(0)),
        ("max", colours.max(0)),
        ("mean", colours.mean(0)),
        ("std", colours.std(0)),
        *((name, np.quantile(colours, q, 0)) for name, q in QUANTILES.items()),
    ):
        np.testing.assert_allclose(np.ravel(record[name]), value, err_msg=name)


def test_counters_are_exact_beyond_float32() -> None:
    record = Counter.of(COUNTS).record()
    assert (record["min"], record["max"]) == ([2**40], [2**40 + 36])
    assert record["mean"] == [2**40 + 18] and record["count"] == [37]
    np.testing.assert_allclose(record["std"], np.arange(37).std())
