"""Each verb that writes, killed or out of disk at any change of a file: nothing lost or left.

The quick suite tries a few changes of each verb, make validate every one.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ambient_policy.cli import main
from tests.datasets.stores import write_v2
from tests.kills import Moment, count_changes, die_at, live, refuse_from
from tests.workflows.conftest import tiny_overrides, write_store

# of each verb: the most changes that are tried; more are drawn from evenly
MOST = int(os.environ.get("AMBIENT_POLICY_FAULTS", "40"))
VERBS = ("collect", "convert", "annotate", "train", "evaluate", "compare", "export")


def write_replay(path: Path) -> None:
    """A replay buffer of three episodes."""
    rows = np.linspace(1, 2, 60, dtype=np.float32)[:, None]
    arrays = {"data/state": rows, "data/action": -rows, "meta/episode_ends": np.array([20, 40, 60])}
    write_v2(path, arrays)


def words_of(verb: str, root: Path) -> list[str]:
    """A small command of a verb, its inputs written."""
    training = [*tiny_overrides(root), "arm=ambient"]
    if verb == "collect":
        return ["collect", "expert=rrt", "episodes=2", f"path={root}/out.zarr", "jobs.workers=1"]
    if verb == "convert":
        write_replay(root / "replay.zarr")
        recipe = ["format=diffusion_policy", "state=[state]", "action=[action]", "control_rate=10"]
        recipe += ["task=x", "source=y"]
        words = [f"recipe.{word}" for word in recipe]
        return ["convert", f"path={root}/replay.zarr", f"out={root}/out.zarr", *words]
    write_store(root / "trusted.zarr")
    write_store(root / "suboptimal.zarr", episodes=5)
    if verb == "annotate":
        keys = {"source=suboptimal", "sigma_min=0.3", "sigma_max=0"}
        stores = [word for word in training if word.startswith("sources.") and "path" in word]
        return ["annotate", "data=maze", *stores, *sorted(keys)]
    if verb == "train":
        return ["train", *training, "training.keep_last=1", "training.log_every=2"]
    if verb == "compare":
        inner = [word for word in training if not word.startswith(("root=", "arm="))]
        arms = "arms={one: ['arm=cotrain']}"
        rollouts = ["evaluation.episodes=2", "evaluation.worlds=2", "evaluation.threads=1"]
        overrides = "overrides=[" + ",".join(f"'{word}'" for word in inner) + "]"
        return ["compare", f"root={root}/runs", overrides, arms, "seeds=[0]", *rollouts]
    assert main(["train", *training]) == 0
    run = f"run={root}/runs/ambient/seed-0"
    if verb == "evaluate":
        return ["evaluate", run, "episodes=2", "worlds=2", "threads=1"]
    return ["export", run, f"out={root}/policy"]


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def act(words: list[str]) -> None:
    raise SystemExit(main(words))


def counted(root: Path, words: list[str]) -> None:
    events = count_changes(root)
    status = main(words)
    print(f"changes: {len(events)}")
    raise SystemExit(status)


def killed(root: Path, words: list[str], change: int) -> None:
    die_at(Moment(root, change))
    act(words)


def full(root: Path, words: list[str], change: int) -> None:
    refuse_from(Moment(root, change))
    act(words)


def undisturbed(verb: str, root: Path) -> tuple[list[str], int]:
    """The names that a command leaves, and how many changes of files it makes."""
    root.mkdir()
    status, text = live(counted, root, words_of(verb, root))
    assert status == 0, text
    found = re.search(r"changes: (\d+)", text)
    assert found is not None
    return names(root), int(found[1])


def check(verb: str, tmp_path: Path, disturb: Callable[..., None], changes: int) -> None:
    """Disturb a command at so many changes, each in a folder of its own, and start it again."""
    expected, total = undisturbed(verb, tmp_path / "whole")
    chosen = np.unique(np.linspace(1, total, min(changes, total)).astype(int))
    for change in chosen.tolist():
        root = tmp_path / str(change)
        root.mkdir()
        words = words_of(verb, root)
        status, text = live(disturb, root, words, change)
        assert status in (-9, 0) or _is_one_line(status, text), (verb, change, status, text)
        status, text = live(act, words)
        assert status == 0 or "lies here already" in text, (verb, change, text)
        assert names(root) == expected, (verb, change)


def _is_one_line(status: int | None, text: str) -> bool:
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    return status == 1 and len(errors) == 1 and "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_kill_at_any_change_loses_nothing_and_leaves_nothing(verb: str, tmp_path: Path) -> None:
    check(verb, tmp_path, killed, MOST)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_full_from_any_change_on_is_one_line(verb: str, tmp_path: Path) -> None:
    check(verb, tmp_path, full, MOST)


@pytest.mark.parametrize("disturb", [killed, full])
def test_a_conversion_that_is_disturbed(tmp_path: Path, disturb: Callable[..., None]) -> None:
    check("convert", tmp_path, disturb, 2)
