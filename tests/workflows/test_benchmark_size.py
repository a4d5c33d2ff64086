"""What is measured of size, on little: and that memory does not grow with the data."""

import json
from pathlib import Path

import numpy as np
import pytest

from ambient_datasets.formats import open_any
from ambient_datasets.store import Attributes
from ambient_policy.cli import perform
from ambient_policy.errors import SettingsError
from ambient_policy.settings import Tables
from ambient_policy.workflows.benchmark import size, synthetic
from ambient_policy.workflows.benchmark.process import watch
from ambient_policy.workflows.preparation import prepare
from tests.datasets.stores import described


@pytest.mark.slow
def test_a_mixture_of_many_stores_opens_and_draws(tmp_path: Path) -> None:
    """Their numbers are declared and not there: opening and drawing do not ask for them."""
    settings = size.many_settings(synthetic.make_stores(tmp_path, 20, 200))
    parts = prepare(settings)
    mixture = parts.mixture
    rows = mixture.describe()
    assert len(rows) == 20 and {row.episodes for row in rows} == {200}
    assert sum(row.windows for row in rows) == len(mixture)
    assert sum(row.probability for row in rows) == pytest.approx(1)
    draw = parts.sampler.draw(0, 0, 5000)
    counts = np.bincount(mixture.source_of_window(draw.window), minlength=20)
    assert (counts > 0).all() and counts[0] == counts.max()  # the trusted one


def test_the_mixture_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DRAWS": 64, "DRAWN": 2, "SIZES": (200, 400)}.items():
        monkeypatch.setattr(size, name, value, raising=False)
    out = tmp_path / "out.json"
    perform("benchmark", ["what=mixture", "stores=3", "episodes=5", "repeats=2", f"out={out}"])
    record = json.loads(out.read_text())
    assert record["settings"]["what"] == "mixture"
    assert [row["what"] for row in record["rows"]] == [
        "opening 3 stores, 15 episodes",
        "draws, 3 stores, 15 episodes",
        "draws, 200 episodes",
        "draws, first over second",
    ]


def test_an_invented_replay_buffer_is_a_valid_one(tmp_path: Path) -> None:
    synthetic.make_replay(tmp_path / "a.zarr", 6_000_000)
    names, units = ("a", "b"), ("m", "m")
    attributes = Attributes("replay", "invented", 10.0, names, units, names, units)
    for tables in Tables:
        store = open_any(described(tmp_path / "a.zarr", attributes, cameras={"top": "img"}), tables)
        assert len(store) == 2 and store.observations().shape == (200, 2)
    frames = store.cameras["top"].read(np.array([0, 199]))
    assert frames.shape == (2, 96, 96, 3) and len(np.unique(frames)) == 256


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """Ten times the data, 90 MB more: what a conversion and a training hold stays the same."""
    rows = list(size.measure_memory([0.01, 0.1], 3, tmp_path, 1))
    most = {row.what: row.median for row in rows if row.unit == "MB"}
    grown = np.diff(np.array(list(most.values())).reshape(2, 2), axis=0)
    assert len(most) == 4 and min(most.values()) > 50
    assert (grown < 35).all(), most


@pytest.mark.slow
def test_a_command_that_fails_is_an_error_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ambient-policy train seed=x failed: error: .*seed"):
        watch("train", ["seed=x"], tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (["what=mixture", "stores=0"], "stores = 0 must be at least 1"),
        (["what=memory", "gigabytes=[]"], "gigabytes = \\[\\]: give positive sizes"),
        (["what=memory", "folder=/nowhere"], "folder = /nowhere: no such folder"),
        (["what=memory", "device=cuda"], "device = cuda: what=memory runs on the CPU"),
        (["what=memory", "overrides=['seed=1']"], "overrides are for what=speed"),
    ],
)
def test_refusals(change: list[str], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        perform("benchmark", change)


@pytest.mark.slow
def test_conversions_by_one_worker_and_by_two_are_compared(tmp_path: Path) -> None:
    one, two, ratio = size.measure_conversion(0.01, tmp_path, 1)
    assert ratio.values[0] == pytest.approx(one.values[0] / two.values[0])
    assert [file.name for file in tmp_path.glob("store*")] == []
