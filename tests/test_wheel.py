"""What pip installs, in an environment that holds the wheel and no checkout."""

import os
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.workflows.conftest import write_store

ROOT = Path(__file__).resolve().parent.parent

# own stores -> trained -> rolled out
TEN_LINES = """\
import ambient_policy as ap, gymnasium
good = ap.Source("good.zarr", trust="trusted")
jerky = ap.Source("jerky.zarr", trust="suboptimal", sigma_min=0.3)
joint = ap.Normalizer(statistics="joint")
run = ap.Run(sources={"good": good, "jerky": jerky}, normalizer=joint, **quick)
actor = ap.load_policy(ap.train(run)).actor(seed=0)
world = gymnasium.make("ambient_envs:ambient_envs/Maze-v0", max_episode_steps=20)
(observation, _), over = world.reset(seed=0), [False]
while not any(over):
    observation, _, *over, _ = world.step(actor.act(observation))
"""
# sizes that a test has time for
QUICK = """\
import ambient_policy as ap
small = ap.Network(widths=[16, 32], embedding=16)
short = ap.Training(steps=2, batch=8, checkpoint_every=2, log_every=1)
quick = {"network": small, "training": short}
"""
VERSION = "from importlib.metadata import version; print(version('ambient-policy'))"


def run(place: Path, *words: str | Path) -> str:
    """What a command prints that is run in a place; nothing of the checkout is on its path."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    inherited.pop("AMBIENT_POLICY_CONFIGS", None)
    done = subprocess.run(
        [str(word) for word in words], cwd=place, env=inherited, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(ROOT, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="session")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the executables of an environment that holds the wheel.

    Its dependencies are those installed here, without what an editable install adds to the path.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    binaries = folder / "bin"
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    pip = [sys.executable, "-m", "pip", "--python", str(binaries / "python"), "install", "--quiet"]
    run(folder, *pip, "--no-deps", "--no-index", "--no-compile", wheel)
    return binaries


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with two stores."""
    folder = tmp_path_factory.mktemp("place")
    write_store(folder / "good.zarr")
    write_store(folder / "jerky.zarr", episodes=5)
    return folder


def test_it_holds_the_three_packages_and_the_configs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"ambient_policy", "ambient_datasets", "ambient_envs"}
    ours = {path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.yaml")}
    assert [str(path) for path in ours if f"ambient_policy/{path}" not in names] == []
    assert {f"{top}/py.typed" for top in tops} <= {*names}
    assert any(name.endswith(".xml") for name in names)  # the worlds' models


def test_the_ten_lines_run(binaries: Path, place: Path) -> None:
    assert len(TEN_LINES.splitlines()) <= 10
    where = "import ambient_policy, ambient_envs; print(ambient_policy.__file__)"
    assert str(binaries.parent) in run(place, binaries / "python", "-c", where)
    run(place, binaries / "python", "-c", QUICK + TEN_LINES)
    assert (place / "runs/ambient/seed-0/checkpoints/step-0000002").is_dir()


def test_the_command_trains_and_evaluates(binaries: Path, place: Path) -> None:
    command = binaries / "ambient-policy"
    assert "usage: ambient-policy VERB" in run(place, command, "--help")
    version = run(place, binaries / "python", "-c", VERSION)
    assert run(place, command, "--version") == f"ambient-policy {version}"
    assert "experiment=" in run(place, command, "configs")
    own = ["sources.trusted.path=good.zarr", "sources.suboptimal.path=jerky.zarr"]
    all_of_them = [f"sources.{name}.max_episodes=null" for name in ("trusted", "suboptimal")]
    small = ["network.widths=[16,32]", "network.embedding=16", "training=quick"]
    short = ["training.steps=2", "training.batch=8", "training.checkpoint_every=20"]
    words = ["experiment=maze", *own, *all_of_them, *small, *short]
    run(place, command, "train", *words)
    made = ["run=runs/maze/ambient/seed-0", "episodes=2", "worlds=2"]
    run(place, command, "evaluate", *made)
    assert (place / "runs/maze/ambient/seed-0/evaluation/episodes.jsonl").is_file()
