"""Three formats, three bodies, one policy: real files to a page, through the scripts themselves."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ambient_datasets.store import open_store
from ambient_policy.cli import perform
from ambient_policy.workflows import plot as plot_module
from ambient_policy.workflows import preparation as assemble
from ambient_policy.workflows import settings as compose
from tests.workflows.tiny import TINY

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "openx_mixture.md"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="the real files are not here"),
]


# the real files, by the paths that the page has for them
FILES = {
    "pusht_cchi_v7_replay.zarr": "pusht_human_zarr/pusht_cchi_v7_replay.zarr",
    "lift_demo.hdf5": "robosuite_human_hdf5/v1.0/lift/panda/demo.hdf5",
    "bridge_dataset": "rlds_bridge_octo/bridge_dataset",
}


def commands(verb: str) -> list[list[str]]:
    """The arguments of every use of a verb on the walk-through's page."""
    lines = PAGE.read_text().splitlines()
    return [shlex.split(line)[2:] for line in lines if line.startswith(f"ambient-policy {verb} ")]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder: the commands of the page name files relative to it."""
    pytest.importorskip("gym_pusht")
    folder = tmp_path_factory.mktemp("walk") / "main"
    folder.mkdir()
    (folder / "data").mkdir()
    for name, place in FILES.items():
        (folder / "data" / name).symlink_to(DATA / place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for overrides in commands("convert"):
            perform("convert", overrides)
        yield folder


@pytest.fixture(scope="module")
def compared(here: Path) -> Path:
    """The folder of the comparison, trained for four steps."""
    tiny = ",".join(f'"{change}"' for change in ["experiment=openx_mixture", *TINY])
    perform("compare", ["comparison=openx_mixture", f"overrides=[{tiny}]", "evaluation.episodes=2"])
    return here / "runs" / "openx_mixture"


@pytest.mark.parametrize("name", ["pusht", "bridge", "lift"])
def test_every_store_is_drawn(here: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(
        plot_module, "write_picture", lambda figure, *_, **__: figures.append(figure)
    )
    (overrides,) = (told for told in commands("plot") if told[-1] == f"out={name}.png")
    perform("plot", overrides)
    (figure,) = figures
    store = open_store(here / "data" / "openx_mixture" / f"{name}.zarr")
    about = store.attributes
    columns = [*about.observation_names, *about.action_names]
    courses = [axes for axes in figure.axes if axes.get_xlabel() == "time [s]"]
    shown = [axes.get_title(loc="left").split(" [")[0] for axes in courses]
    assert shown == columns
    numbers = np.hstack([store.observations(), store.actions()])
    for axes, values in zip(courses, numbers[: store.episode_ends[0]].T, strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), values)  # of the first episode
    frames = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(frames) == 3 * min(3, len(store)) * len(store.cameras)
    for camera, first in zip(store.cameras, frames[:: 3 * min(3, len(store))], strict=True):
        np.testing.assert_array_equal(first, store.cameras[camera].read(np.array([0]))[0])


def test_the_mixture_is_described(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (overrides,) = commands("describe")
    perform("describe", overrides)
    told = capsys.readouterr().out
    for source, weight in (("pusht", "50.0"), ("bridge", "25.0"), ("lift", "25.0")):
        (line,) = (line for line in told.splitlines() if line.strip().startswith(source))
        assert weight in line
    assert (here / "sources.png").stat().st_size > 5000


def test_three_arms_act_in_pusht_and_meet_on_one_page(compared: Path) -> None:
    runs = json.loads((compared / "table.json").read_text())["runs"]
    assert [run["arm"] for run in runs] == ["target_only", "cotrain", "ambient"]
    for run in runs:
        settings = run["settings"]
        assert run["episodes"] == 2
        assert list(settings["sources"]) == ["pusht", "bridge", "lift"]
        assert settings["dimensions"] == "union"
        assert settings["task"]["instruction"]
    page = (compared / "report.html").read_text()
    for part in ("What each source contributes", "Executed paths", "bridge", "lift", "coverage"):
        assert part in page


def test_the_arms_differ_in_who_teaches(compared: Path) -> None:
    runs = json.loads((compared / "table.json").read_text())["runs"]
    settings = {run["arm"]: run["settings"] for run in runs}
    assert {arm: each["arm"]["suboptimal"] for arm, each in settings.items()} == {
        "target_only": "nothing",
        "cotrain": "everything",
        "ambient": "above",
    }
    assert {each["sources"]["bridge"]["trust"] for each in settings.values()} == {"suboptimal"}
    assert settings["ambient"]["tuned"]["sigma_min"] == pytest.approx(0.7)


def test_an_arm_is_annotated_under_the_units_of_the_training(here: Path) -> None:
    perform("annotate", ["data=openx_mixture", "source=bridge", "sigma_min=0.3", "sigma_max=0"])
    entries = [
        f"{{path: data/openx_mixture/{name}.zarr, trust: {trust}}}"
        for name, trust in (("pusht", "trusted"), ("bridge", "suboptimal"), ("lift", "rejected"))
    ]
    asked = ["experiment=openx_mixture", f"mixture=[{', '.join(entries)}]", *TINY]
    mixture = assemble.prepare(compose.compose("train", asked)).mixture
    low = mixture.sigma_min[mixture.source_of_episode == mixture.names.index("bridge")]
    assert len(low) == 25 and (low == 0.3).all()
