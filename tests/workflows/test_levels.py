"""Levels and thresholds in every coordinate, from the command line into tables, runs and stores."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.store import Annotation, annotate_store, open_store
from ambient_policy.cli import perform
from ambient_policy.diffusion.noise import Schedule, ddpm_levels
from ambient_policy.diffusion.precondition import Prediction
from ambient_policy.diffusion.solve import Solver
from ambient_policy.errors import SettingsError
from ambient_policy.settings import RunSettings, from_json, to_json
from ambient_policy.workflows import levels
from ambient_policy.workflows import preparation as assemble
from ambient_policy.workflows import settings as compose
from ambient_policy.workflows.contributions import contributions
from ambient_policy.workflows.page import count_draws

BOTH = [f"sources.{name}.trust=null" for name in ("trusted", "suboptimal")]
INF = float("inf")
STEP_3 = float(ddpm_levels(Schedule.squaredcos, 100)[3])


def rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *overrides: str
) -> list[list[str]]:
    """The cells of what is printed."""
    settings = compose.compose("levels", ["experiment=maze", *overrides])
    cells: list[list[str]] = []
    monkeypatch.setattr(levels, "print_table", lambda _, header, table: cells.extend(table))
    levels.levels(settings)
    return cells


def test_the_table_marks_visited_levels_and_who_teaches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    *table, low, high = rows(capsys, monkeypatch, "arm=ambient", "tuned.sigma_min={step:3}")
    assert [int(row[0]) for row in table] == list(range(100))
    assert [row[0] for row in table if row[5] == "visited"] == [str(k) for k in range(0, 100, 10)]
    assert [row[7] for row in table] == ["no"] * 4 + ["yes"] * 96
    assert low == ["tuned sigma_min", "3", "0.07389", "0.07369", "0.06881", "5.21"]
    assert high == ["tuned sigma_max", "1.547", "0.05", "0.04994", "0.04762", "5.991"]


def test_the_table_knows_the_buffer_of_the_ambient_loss(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ambient = ["arm=ambient", "tuned.sigma_min=0.1", "loss.ambient=true", "loss.s_max=1.25"]
    *table, _, _ = rows(capsys, monkeypatch, *ambient)
    assert min(float(row[1]) for row in table if row[7] == "yes") > 0.1 * 5**0.5


def test_a_continuous_law_shows_the_levels_of_its_solver(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    *table, low, high = rows(capsys, monkeypatch, "noise=edm", "solver.steps=4", *BOTH)
    assert [row[1] for row in table] == ["0.002", "0.47", "9.723", "80"]
    assert table[0][0] == "-"  # below the schedule's first step
    assert [row[5] for row in table] == ["twice", "twice", "twice", "visited"]
    assert table[0][6:] == ["?", "?"]
    assert [row[0] for row in (low, high)] == ["tuned sigma_min", "tuned sigma_max"]


def test_an_annotation_that_decides_is_shown_in_place_of_tuned_numbers(
    maze: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    low = np.array([0.5, 0.5, 0.5, 2.0, INF])
    annotate_store(tmp_path / "suboptimal.zarr", Annotation(low, np.zeros(5), "0" * 16))
    stores = [override for override in maze if ".path=" in override or "max_episodes" in override]
    *table, lowest, highest, _ = rows(capsys, monkeypatch, "noise=edm", "arm=ambient", *stores)
    teaches = {float(row[1]): row[-1] for row in table}
    assert [teaches[level] for level in (0.47, 1.502, 4.066)] == ["no", "3 of 5", "4 of 5"]
    assert lowest[:3] == ["suboptimal sigma_min, lowest", "27.96", "0.5"]
    assert highest[0] == "suboptimal sigma_min, highest" and highest[2] == "inf"
    words = capsys.readouterr().out
    assert "thresholds: suboptimal by annotation" in words and "tuned" not in words


@pytest.mark.parametrize(
    ("override", "sigma"),
    [
        ("sigma_min=0.3", 0.3),
        ("sigma_min={step:3}", STEP_3),
        ("sigma_max={vp:0.6}", 0.75),
        ("sigma_min={flow:0.2}", 0.25),
        ("sigma_max={log_snr:0}", 1.0),
        ("sigma_min=inf", INF),
    ],
)
def test_a_threshold_of_any_coordinate_is_stored_as_sigma(override: str, sigma: float) -> None:
    key, places = override.partition("=")[0], ("tuned", "sources.suboptimal")
    overrides = [f"{place}.{override}" for place in places]
    settings: RunSettings = compose.compose("train", ["experiment=maze", *overrides])
    source = settings.sources["suboptimal"]
    assert [getattr(holder, key) for holder in (settings.tuned, source)] == [
        pytest.approx(sigma)
    ] * 2
    written = json.loads(json.dumps(to_json(settings)))
    assert written["sources"]["suboptimal"][key] == pytest.approx(sigma)
    assert written["tuned"][key] == pytest.approx(sigma)
    assert from_json(written) == settings


def test_steps_are_those_of_the_chosen_schedule() -> None:
    settings: RunSettings = compose.compose("train", ["noise=linear", "tuned.sigma_min={step:3}"])
    assert settings.tuned.sigma_min == ddpm_levels(Schedule.linear, 1000)[3]


@pytest.mark.parametrize(
    ("noise", "prediction", "solver"),
    [
        ("squaredcos", Prediction.x0, Solver.ddim),
        ("linear", Prediction.eps, Solver.ddim),
        ("edm", Prediction.edm, Solver.heun),
        ("flow_uniform", Prediction.flow, Solver.ddim),
        ("flow_logit_normal", Prediction.flow, Solver.ddim),
    ],
)
def test_every_noise_config_is_a_law_with_a_solver(
    noise: str, prediction: Prediction, solver: Solver
) -> None:
    settings: RunSettings = compose.compose("train", [f"noise={noise}"])
    assert (settings.noise.prediction, settings.solver.kind) == (prediction, solver)
    law, calls = settings.noise.training_law(), settings.solver.calls(settings.noise)
    drawn = law.draw(np.random.default_rng(0), 1000)
    assert law.sigma_lo <= drawn.min() and drawn.max() <= law.sigma_hi
    assert law.sigma_lo <= calls[-1].sigma <= calls[0].sigma <= law.sigma_hi


def test_annotations_may_be_written_in_any_coordinate(
    maze: list[str], make_store: Callable[..., Path], tmp_path: Path
) -> None:
    stores = ["data=maze", *(o for o in maze if ".path=" in o)]
    perform("annotate", [*stores, "source=suboptimal", "sigma_min={step:3}", "sigma_max={vp:0.6}"])
    annotation: Any = open_store(tmp_path / "suboptimal.zarr").annotation
    np.testing.assert_allclose(annotation.sigma_min, STEP_3)
    np.testing.assert_allclose(annotation.sigma_max, 0.75)
    with pytest.raises(SettingsError, match=r"sigma_max = {'vp': 2}: vp is a number from 0 to 1"):
        perform("annotate", [*stores, "source=suboptimal", "sigma_min=0", "sigma_max={vp:2}"])


def test_a_continuous_law_is_trained_shown_and_sampled_by_any_solver(
    maze: list[str], tmp_path: Path
) -> None:
    overrides = [*maze, "noise=edm", "arm=ambient", "solver.steps=3"]
    perform("train", overrides)
    run = tmp_path / "runs" / "ambient" / "seed-0"
    for i, solver in enumerate((["kind=heun"], ["kind=dpmpp_2m", "spacing=log_snr"], ["steps=1"])):
        changes = [f"solver.{change}" for change in solver]
        perform(
            "evaluate", [f"run={run}", f"out={tmp_path}/{i}", "episodes=1", "threads=1", *changes]
        )
    parts = assemble.prepare(compose.compose("train", overrides))
    told = contributions(parts.mixture, parts.sampler)
    draws = count_draws(parts, told)
    assert len(draws.sigma) == 100 and draws.counts.sum() == 4 * 8
    assert draws.counts[draws.sigma < 0.25, 1].sum() == 0  # the suboptimal source, below 0.27
