"""Bad stores, and checkpoints of something else, met through the scripts; disks that fill up."""

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ambient_datasets.store import Annotation, annotate_store
from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError, CheckpointError, DataError, SettingsError

Snapshot = Callable[[], dict[str, bytes]]


def refused(
    kind: type[AmbientPolicyError], overrides: list[str], snapshot: Snapshot, *parts: str
) -> None:
    """Training is refused with all these parts, without a step and without a trace."""
    before = snapshot()
    with pytest.raises(kind) as caught:
        perform("train", overrides)
    text = str(caught.value)
    assert [part for part in parts if part not in text] == [], text
    assert snapshot() == before
    assert not any("checkpoints" in name for name in before)


def array(path: Path, key: str) -> Any:
    """An array of a store, to be damaged."""
    return zarr.open_group(str(path), mode="r+")[key]


def test_no_store(maze: list[str], tmp_path: Path, snapshot: Snapshot) -> None:
    shutil.rmtree(tmp_path / "trusted.zarr")
    refused(DataError, maze, snapshot, "trusted.zarr", "no such store", "ambient-policy collect")


def test_nan(maze: list[str], tmp_path: Path, snapshot: Snapshot) -> None:
    array(tmp_path / "suboptimal.zarr", "data/action")[25, 1] = np.nan
    parts = (
        "suboptimal.zarr",
        "data/action",
        "episode 1",
        "step 5",
        "'target_y'",
        "nan",
        "Restore",
    )
    refused(DataError, maze, snapshot, *parts)


def test_unequal_lengths(maze: list[str], tmp_path: Path, snapshot: Snapshot) -> None:
    array(tmp_path / "trusted.zarr", "data/action").resize((59, 2))
    parts = ("trusted.zarr", "data/action", "59 rows", "row 60", "lengths must be equal", "Restore")
    refused(DataError, maze, snapshot, *parts)


@pytest.mark.parametrize(
    ("shape", "parts"),
    [((60, 3), ["3 columns", "2 names", "target_x, target_y"]), ((60, 1, 2), ["(60, 1, 2)"])],
)
def test_wrong_shape(
    maze: list[str], tmp_path: Path, snapshot: Snapshot, shape: tuple[int, ...], parts: list[str]
) -> None:
    group = zarr.open_group(str(tmp_path / "trusted.zarr"), mode="r+")
    group.create_array("data/action", data=np.zeros(shape, np.float32), overwrite=True)
    refused(DataError, maze, snapshot, "trusted.zarr", "data/action", *parts)


def test_truncated_chunk(maze: list[str], tmp_path: Path, snapshot: Snapshot) -> None:
    chunk = tmp_path / "trusted.zarr" / "data" / "action" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    parts = ("trusted.zarr", "data/action", "c/0/0", "truncated or corrupt", "Restore that file")
    refused(DataError, maze, snapshot, *parts)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"action_names": ("goal_x", "goal_y")}, ["action_names", "target_x", "goal_x"]),
        ({"control_rate": 20.0}, ["control_rate is 10.0", "20.0"]),
        ({"action_units": ("cm", "cm")}, ["action_units", "cm"]),
        (
            {"action_names": ("target_x", "target_y", "grip"), "action_units": ("m", "m", "m")},
            ["action_names", "grip"],
        ),
        (
            {"observation_names": ("agent_x", "agent_y"), "observation_units": ("m", "m")},
            ["observation_names", "goal_y"],
        ),
    ],
)
def test_two_stores_that_differ(
    maze: list[str],
    tmp_path: Path,
    make_store: Callable[..., Path],
    snapshot: Snapshot,
    changes: dict[str, Any],
    parts: list[str],
) -> None:
    shutil.rmtree(tmp_path / "suboptimal.zarr")
    make_store("suboptimal", **changes)
    names = ("'trusted'", "'suboptimal'", "trusted.zarr", "suboptimal.zarr")
    refused(DataError, maze, snapshot, *names, "cannot be mixed", "Convert one", *parts)


def test_an_annotation_under_another_normaliser(
    maze: list[str], tmp_path: Path, snapshot: Snapshot
) -> None:
    other = Annotation(np.zeros(3), np.full(3, np.inf), "0123456789abcdef")
    annotate_store(tmp_path / "trusted.zarr", other)
    trust = ["sources.trusted.trust=suboptimal", "sources.suboptimal.trust=trusted"]
    parts = ("trusted.zarr", "'trusted'", "0123456789abcdef", "annotate again", "normaliser")
    refused(DataError, [*maze, *trust], snapshot, *parts)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(f): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ([], ["no value for run"]),
        (["run=nowhere"], ["nowhere holds no policy", "ambient-policy train"]),
        (["run={run}", "checkpoint=3"], ["no checkpoint of step 3", "[2, 4]"]),
        (["run={run}", "checkpoint=0"], ["no checkpoint of step 0", "[2, 4]"]),
        (["run={run}", "episodes=0"], ["episodes"]),
        (["run={run}", "device=cuda:99"], ["device = cuda:99", "choose among cpu"]),
        (["run={run}", "episodez=3"], ["'episodez'", "Did you mean 'episodes'?"]),
        (["run={run}", "arm=ambient"], ["'arm'", "evaluate chooses from no group"]),
        (["run={run}", "solver.kind=rk4"], ["solver.kind", "ddim, ddpm, heun, dpmpp_2m"]),
        (["run={run}", "solver.spacing=even"], ["solver.spacing", "leading, trailing, linspace"]),
        (["run={run}", "solver.steps=21"], ["solver.steps = 21", "20"]),
        (["run={run}", "solver.steps=2"], ["solver.steps = 2", "leading", "trailing"]),
    ],
)
def test_bad_settings_of_an_evaluation(
    trained: Path, tmp_path: Path, overrides: list[str], parts: list[str]
) -> None:
    named = [override.format(run=trained) for override in overrides]
    with pytest.raises(AmbientPolicyError) as caught:
        perform("evaluate", [f"out={tmp_path}/out", *named])
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("network.widths=[16]", ["network"]),
        ("horizons.obs=3", ["horizon"]),
        ("noise.prediction=eps", ["noise"]),
        ("normalizer.actions.high=[6,6]", ["normali"]),
    ],
)
def test_starting_from_a_run_of_another_kind(
    trained: Path, maze: list[str], snapshot: Snapshot, change: str, parts: list[str]
) -> None:
    overrides = [*maze, "label=tuned", f"start_from={trained}", change]
    refused(SettingsError, overrides, snapshot, f"start_from = {trained}", "another", *parts)


def test_a_refused_start_does_not_claim_the_folder(maze: list[str], trained: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"nowhere holds no policy.*trained by ambient-policy train"
    ):
        perform("train", [*maze, "label=tuned", "start_from=nowhere"])
    perform("train", [*maze, "label=tuned", f"start_from={trained}"])


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a disk that fills up: writes beyond so many bytes of a file fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_during_a_checkpoint(maze: list[str], tmp_path: Path) -> None:
    run = tmp_path / "runs" / "ambient" / "seed-0"
    first, last = (run / "checkpoints" / f"step-000000{step}" for step in (2, 4))
    perform("train", maze)
    undisturbed = (last / "model.safetensors").read_bytes()
    shutil.rmtree(last)
    before = files_of(first)
    words = r"step-0000004 could not be written.*Earlier checkpoints.*untouched; free disk space"
    with files_no_larger_than(65536), pytest.raises(CheckpointError, match=words):
        perform("train", maze)
    assert files_of(run / "checkpoints") == before
    perform("train", maze)
    assert (last / "model.safetensors").read_bytes() == undisturbed


def test_a_disk_that_is_full_while_the_log_is_written(
    maze: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is written before the checkpoint, so a full disk shows there first."""
    perform("train", maze)
    checkpoints = tmp_path / "runs" / "ambient" / "seed-0" / "checkpoints"
    shutil.rmtree(checkpoints / "step-0000004")
    before = files_of(checkpoints)
    open_it = Path.open

    def full(path: Path, mode: str = "r", **words: Any) -> Any:
        return open_it(Path("/dev/full") if mode == "a" else path, mode, **words)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(AmbientPolicyError, match=r"log.jsonl could not be written.*disk space"):
        perform("train", maze)
    assert files_of(checkpoints) == before


def test_an_evaluation_among_other_files(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text("{}")
    with pytest.raises(SettingsError, match=r"holds zarr.json, which is of no evaluation; name a"):
        perform("evaluate", [f"run={trained}", f"out={tmp_path}", "episodes=1"])
    assert [file.name for file in tmp_path.iterdir()] == ["zarr.json"]
