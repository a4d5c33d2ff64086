"""The benchmark measures everything it promises, and refuses before it measures anything."""

import json
from pathlib import Path

import pytest

from ambient_policy.cli import perform
from ambient_policy.diffusion.solve import Solver
from ambient_policy.errors import SettingsError
from ambient_policy.workflows.benchmark import speed, synthetic
from ambient_policy.workflows.benchmark.measurement import Measurement

TINY = '["network.widths=[16,32]","network.embedding=16","training.batch=8"]'


def test_a_row_has_its_median_and_spread() -> None:
    row = Measurement("draws", "1/s", [3.0, 1.0, 2.0, 10.0])
    assert row.median == 2.5
    assert row.spread == (1.0, 10.0)


@pytest.mark.slow
def test_everything_is_measured_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(synthetic, "EPISODES", 4)
    small = {"SIZES": (200, 400), "DRAWS": 64, "GATHERED": 2, "WORLDS": 3, "WARM": 1}
    for name, value in {**small, "STEPS": 2, "CHUNKS": 1, "CONTROLS": 9, "BATCHES": (1, 3)}.items():
        monkeypatch.setattr(speed, name, value)
    out = tmp_path / "benchmark.json"
    perform("benchmark", ["repeats=2", f"overrides={TINY}", f"out={out}"])
    record = json.loads(out.read_text())
    rows = {(i, row["what"]): row["values"] for i, row in enumerate(record["rows"])}
    assert all(len(values) == 2 and min(values) > 0 for values in rows.values())
    measurements = [what for _, what in rows]
    for kind in Solver:
        assert [f"chunk, {kind.value}, batch {batch}" in measurements for batch in (1, 3)] == [
            True,
            True,
        ]
    assert measurements.count("its 10 network calls") == 2 * (len(Solver) - 1)
    assert measurements.count("its 19 network calls") == 2  # heun
    for part in (
        "draws, 200",
        "windows drawn and gathered, ambient",
        "training, share",
        "rollout of 3",
    ):
        assert any(what.startswith(part) for what in measurements), part
    assert record["machine"].keys() >= {"processor", "cores", "device", "torch_threads", "date"}
    assert record["settings"]["repeats"] == 2
    assert "median" in capsys.readouterr().out


def test_a_ratio_is_of_what_was_measured_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SIZES", (100, 200))
    small, large, ratio = speed.measure_draws(repeats=2)
    expected = [b / a for a, b in zip(small.values, large.values, strict=True)]
    assert ratio.values == expected


def test_a_batch_that_does_not_fall_into_parts_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(synthetic, "EPISODES", 4)
    monkeypatch.setattr(speed, "measure_draws", lambda repeats: pytest.fail("work began"))
    text = r"training.batch = 10 does not fall into 4 equal parts .*training.batch=12"
    with pytest.raises(SettingsError, match=text):
        perform("benchmark", ['overrides=["training.batch=10","training.accumulate=4"]'])


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("device=tpu7", ["tpu7", "cpu"]),
        ("repeats=0", ["repeats = 0", "at least 1"]),
        ("threads=0", ["threads = 0", "at least 1"]),
        ('overrides=["network.kernel=4"]', ["network.kernel = 4", "odd"]),
        ("repeat=3", ["'repeat'", "'repeats'"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(
    change: str, parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(path: Path) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr(synthetic, "make_store", never)
    with pytest.raises(SettingsError) as caught:
        perform("benchmark", [change])
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
