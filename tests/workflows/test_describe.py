"""What each source contributes: equal to what is drawn, readable for many, the same everywhere."""

import io
import math
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ambient_datasets.mixture import Mixture
from ambient_policy.ambient.admission import Admission
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.cli import perform
from ambient_policy.diffusion.law import ContinuousLaw, Law, LawKind, UniformOverLevels
from ambient_policy.errors import AmbientPolicyError
from ambient_policy.evaluation import tables
from ambient_policy.settings import RunSettings
from ambient_policy.workflows.contributions import chances, contributions, levels_of
from ambient_policy.workflows.preparation import prepare
from ambient_policy.workflows.screen import show_sources
from ambient_policy.workflows.settings import compose

LEVELS = np.geomspace(0.02, 60, 30)
LAWS: dict[str, Law] = {
    "discrete": UniformOverLevels(LEVELS),
    "continuous": ContinuousLaw(LawKind.log_normal, -1.2, 1.2, 0.002, 80.0),
}


def invent(sources: int, random: np.random.Generator) -> tuple[Mixture, Admission]:
    """A mixture without numbers: only who there is, how long, how heavy, admitted where."""
    episodes = 5 * sources
    lengths, taught = random.integers(1, 20, episodes), random.random(episodes) < 0.8
    taught[::5] = True
    known: dict[str, Any] = {
        "names": tuple(f"s{i}" for i in range(sources)),
        "attributes": RateOnly(10.0),
        "episode_starts": np.cumsum(lengths) - lengths,
        "episode_lengths": lengths,
        "source_of_episode": np.repeat(np.arange(sources), 5),
        "window_weight": np.where(taught, random.random(episodes), 0.0),
        "sigma_min": random.choice([0.0, *LEVELS[::3], 0.5, math.inf], episodes),
        "sigma_max": random.choice([0.0, *LEVELS[::3], 0.5, math.inf], episodes),
        "held_out": ~taught,
        "taught": taught,
        "roles": ("suboptimal",) * sources,
    }
    known["sigma_min"][0] = 0.0  # one at least is admitted everywhere
    values: dict[str, Any] = {field.name: known.get(field.name) for field in fields(Mixture)}
    mixture = Mixture(**values)
    return mixture, Admission(mixture.sigma_min, mixture.sigma_max)


@dataclass
class RateOnly:
    """Attributes of which nothing but the rate is asked."""

    control_rate: float


def sample(mixture: Mixture, admission: Admission, law: Law) -> Sampler:
    starts, lengths = mixture.episode_starts, mixture.episode_lengths
    return Sampler(admission, starts, lengths, mixture.window_weight, law)


@pytest.mark.parametrize("seed", range(20))
def test_chances_are_the_admitted_weights_renormalised(seed: int) -> None:
    mixture, admission = invent(4, np.random.default_rng(seed))
    expected = []
    for sigma in LEVELS:
        admitted = admission.admits(np.arange(20), np.full(20, sigma))
        weight = mixture.window_weight * mixture.episode_lengths * admitted
        expected.append(np.bincount(mixture.source_of_episode, weight, 4) / weight.sum())
    np.testing.assert_allclose(chances(mixture, admission, LEVELS), expected, atol=1e-12)


@pytest.mark.parametrize("law", LAWS)
def test_shares_are_those_of_the_draws(law: str) -> None:
    mixture, admission = invent(3, np.random.default_rng(1))
    sampler = sample(mixture, admission, LAWS[law])
    draw = sampler.draw(0, 0, 200_000)
    drawn = np.bincount(mixture.source_of_window(draw.window), minlength=3) / 200_000
    told = contributions(mixture, sampler)
    assert [row.share for row in told.rows] == pytest.approx(drawn.tolist(), abs=0.01)
    assert sum(row.share for row in told.rows) == pytest.approx(1)


def test_levels_are_equally_likely() -> None:
    assert levels_of(LAWS["discrete"]) is LEVELS
    levels = levels_of(LAWS["continuous"])
    between = np.sqrt(levels[1:] * levels[:-1])
    edges = [0.002, *between, 80.0]
    parts = [LAWS["continuous"].probability(*pair) for pair in pairwise(edges)]
    assert len(levels) == 100 and parts[20:80] == pytest.approx([0.01] * 60, rel=0.05)


def test_of_many_sources_the_largest_are_named_and_nothing_is_lost() -> None:
    mixture, admission = invent(1000, np.random.default_rng(2))
    sampler = sample(mixture, admission, LAWS["discrete"])
    every = contributions(mixture, sampler, named=1000)
    few = contributions(mixture, sampler)
    assert len(few.rows) == 12 and few.rows[-1].name == "989 others"
    for name in ("episodes", "held_out", "windows"):
        assert sum(getattr(r, name) for r in few.rows) == sum(getattr(r, name) for r in every.rows)
    assert sum(row.probability for row in few.rows) == pytest.approx(1)
    sizes = {row.name: max(row.probability, row.share) for row in every.rows}
    smallest = min(sizes[row.name] for row in few.rows[:-1])
    assert sum(size > smallest for size in sizes.values()) == 10
    assert few.chances.counts.sum(axis=1) == pytest.approx(np.ones(len(LEVELS)))
    assert few.row_of_source.max() == 11


def test_spans_and_totals_in_the_table() -> None:
    mixture, admission = invent(2, np.random.default_rng(3))
    mixture = replace(mixture, roles=("suboptimal", "by episode"))
    rows = contributions(mixture, sample(mixture, admission, LAWS["discrete"])).rows
    header, lines = tables.contributions(rows)
    assert [line[:2] for line in lines] == [["s0", "suboptimal"], ["s1", "by episode"], ["all", ""]]
    assert int(lines[2][3]) == int(mixture.episode_lengths[mixture.taught].sum())
    assert lines[2][-1] == "100" and len(header) == len(lines[0]) == len(lines[2])
    assert tables.span((0.1, 0.25, math.inf)) == "0.25 [0.1, ∞]"
    assert tables.span((0.5, 0.5, 0.5)) == "0.5"


def test_the_script_tells_and_draws(
    maze: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    perform("describe", [*maze, "arm=ambient", f"out={tmp_path}/pictures/sources.png"])
    told = " ".join(capsys.readouterr().out.split())
    for part in ("trusted", "suboptimal", "0.27", "all", "100"):
        assert part in told
    assert (tmp_path / "pictures" / "sources.png").stat().st_size > 5000
    assert not (tmp_path / "runs").exists()


def test_its_choices_are_those_of_a_training(maze: list[str]) -> None:
    asked = compose("describe", [*maze, "arm=exclusive", "tuned.sigma_min=0.3"])
    trained: RunSettings = compose("train", [*maze, "arm=exclusive", "tuned.sigma_min=0.3"])
    same = {field.name for field in fields(RunSettings)}
    assert {name: getattr(asked, name) for name in same} == vars(trained)


def test_training_tells_the_same_rows(maze: list[str]) -> None:
    parts, told = prepare(compose("train", [*maze, "arm=ambient"])), io.StringIO()
    show_sources(parts, Console(file=told, width=200))
    _, lines = tables.contributions(contributions(parts.mixture, parts.sampler).rows)
    shown = [line.split() for line in told.getvalue().replace("│", " ").splitlines()]
    for line in lines:
        assert [cell for cell in line if cell] in shown


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("out=picture.gif", ["picture.gif", ".png, .pdf or .svg"]),
        ("sources.trusted.path=nowhere.zarr", ["nowhere.zarr: there is no such store"]),
        ("outt=x.png", ["'outt'", "Did you mean 'out'?"]),
    ],
)
def test_what_is_wrong_is_said(maze: list[str], override: str, parts: list[str]) -> None:
    with pytest.raises(AmbientPolicyError) as caught:
        perform("describe", [*maze, override])
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
