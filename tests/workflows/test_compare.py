"""A comparison from nothing to its page, started twice; a training that fails is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError, DataError, SettingsError
from ambient_policy.evaluation.comparison import MARGIN
from ambient_policy.workflows import comparison
from ambient_policy.workflows.settings import compose

Overrides = Callable[..., list[str]]


@pytest.fixture(scope="module")
def overrides(shared_maze: list[str]) -> Overrides:
    """comparison=demo made tiny: target_only and ambient, one seed, four starts."""

    def make(root: Path, *more: str) -> list[str]:
        tiny = [f'"{change}"' for change in shared_maze if not change.startswith("root=")]
        return [
            "comparison=demo",
            f"root={root}",
            f"overrides=[{','.join(tiny)}]",
            "~arms.cotrain",
            "baseline=target_only",
            "evaluation.episodes=4",
            *more,
        ]

    return make


@pytest.fixture(scope="module")
def compared(overrides: Overrides, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished comparison."""
    root = tmp_path_factory.mktemp("comparison")
    perform("compare", overrides(root))
    return root


def test_one_record_per_arm_and_seed(compared: Path) -> None:
    table = json.loads((compared / "table.json").read_text())
    runs = table["runs"]
    assert [(run["arm"], run["seed"]) for run in runs] == [("target_only", 0), ("ambient", 0)]
    for run in runs:
        assert run.keys() >= {"episodes", "successes", "squared_jerk", "settings"}
        assert run["episodes"] == 4
        assert 0 <= run["successes"] <= 4
        assert run["settings"]["label"] == run["arm"]
        assert run["settings"]["training"]["steps"] == 4
    assert table["baseline"] == "target_only"


def test_both_arms_met_the_same_starts(compared: Path) -> None:
    files = sorted(compared.glob("*/seed-0/evaluation/episodes.jsonl"))
    starts = [
        [(e["seed"], e["start"], e["goal"]) for e in map(json.loads, file.read_text().splitlines())]
        for file in files
    ]
    assert len(starts) == 2
    assert starts[0] == starts[1]


def test_the_page_loads_nothing(compared: Path) -> None:
    page = (compared / "report.html").read_text()
    for part in ("target_only", "ambient", "Executed paths", "Denoising", "Training curves"):
        assert part in page
    links = re.findall(r"""(?:src|href|srcset|action|data)\s*=\s*["']([^"']*)""", page)
    assert links
    assert [link for link in links if not link.startswith(("data:", "#"))] == []
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:|#)|<link|<iframe", page)
    assert {"table.md", "table.json", "report.html", "figures"} <= {
        f.name for f in compared.iterdir()
    }


@pytest.mark.slow
def test_started_again_it_trains_and_evaluates_nothing(
    compared: Path, overrides: Overrides
) -> None:
    kept = [f for part in ("checkpoints", "evaluation") for f in compared.rglob(f"{part}/**/*")]
    before = {file: file.stat().st_mtime_ns for file in kept}
    logs = {file: file.read_text() for file in compared.rglob("log.jsonl")}
    table = json.loads((compared / "table.json").read_text())
    perform("compare", overrides(compared))
    assert {file: file.stat().st_mtime_ns for file in kept} == before
    assert {file: file.read_text() for file in compared.rglob("log.jsonl")} == logs
    assert len(before) > 20
    assert json.loads((compared / "table.json").read_text()) == table


def test_a_training_that_fails_is_named(tmp_path: Path, overrides: Overrides) -> None:
    folder = tmp_path / "ambient" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text("{}")
    alone = ["~arms.target_only", "baseline=null"]
    with pytest.raises(AmbientPolicyError, match=r"ambient/seed-0.* other settings"):
        perform("compare", overrides(tmp_path, *alone))
    assert not (tmp_path / "report.html").exists()
    assert (folder / "settings.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["baseline=cotrain"], ["unknown baseline 'cotrain'", "ambient, target_only"]),
        (['arms.ambient=["arm=ambiant"]'], ["arm 'ambiant'", "ambient_locality", "target_only"]),
        (['arms.ambient=["training.stepz=1"]'], ["'training.stepz'", "'training.steps'"]),
        (['arms.ambient=["network.kernel=4"]'], ["network.kernel = 4", "odd"]),
        (["seeds=[]"], ["seeds"]),
        (["seeds=[1,1]"], ["seeds = [1, 1]", "every training seed once"]),
        (["~arms.ambient", "~arms.target_only", "baseline=null"], ["arms"]),
        (["jobs.workers=0"], ["jobs.workers = 0", "at least 1"]),
        (["evaluation.episodes=0"], ["episodes = 0", "at least 1"]),
        (["comparison=nothing"], ["comparison 'nothing'", "demo", "maze", "maze_sweep"]),
    ],
)
def test_what_is_wrong_is_said_before_any_training(
    tmp_path: Path,
    overrides: Overrides,
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    parts: list[str],
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(comparison, "execute", never)
    with pytest.raises(AmbientPolicyError) as caught:
        perform("compare", overrides(tmp_path, *more))
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_missing_demonstrations_are_said_before_any_training(
    tmp_path: Path, overrides: Overrides
) -> None:
    more = 'arms.ambient=["arm=ambient","sources.trusted.path=nowhere.zarr"]'
    with pytest.raises(DataError, match=r"nowhere.zarr: there is no such store"):
        perform("compare", overrides(tmp_path, more))
    with pytest.raises(SettingsError, match=r"arms = \[\], .*comparison=maze"):
        perform("compare", [])


def test_the_margin_is_the_same_from_the_command_and_from_python() -> None:
    assert compose("compare", ["comparison=demo"]).margin == MARGIN
