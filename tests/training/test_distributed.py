"""Any number of processes and parts: the same draws, the same curve up to summation order."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from ambient_policy.errors import CheckpointError, SettingsError
from ambient_policy.saved import load_policy, steps_saved
from ambient_policy.settings import LossSettings, RunSettings, TrainingSettings
from ambient_policy.training import distributed
from ambient_policy.training.distributed import World, check_shares
from tests.kills import processes
from tests.samples import few
from tests.training.toy import Rows, make_settings, run_training

NUMBERS = ("loss", "gradient_norm")
# of a union, each process adds up parts too
PARTS: dict[bool, dict[str, int]] = {False: {}, True: {"accumulate": 2}}


def settings(**changes: Any) -> RunSettings:
    """With a mask, so that parts differ in how many of their steps count."""
    run = make_settings(**changes)
    run.loss = LossSettings(mask_padding=True)
    return run


def train_as(rank: int, size: int, port: int, root: Path, until: int | None, union: bool) -> None:
    """One process as torchrun would start it; its rows go to a file."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # the test listens at the port, not rank 0
    with distributed.join(settings().training) as world:
        _, rows = run_training(root, settings(**PARTS[union]), until, world=world, union=union)
    root.with_suffix(f".{rank}.json").write_text(json.dumps(rows))


def train_in_two(root: Path, until: int | None = None, union: bool = False) -> list[Rows]:
    """Return the rows of each of two processes."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    places = [(rank, 2, store.port, root, until, union) for rank in (0, 1)]
    both = [processes().Process(target=train_as, args=place) for place in places]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    return [json.loads(root.with_suffix(f".{rank}.json").read_text()) for rank in (0, 1)]


def assert_same_curve(ours: Rows, theirs: Rows) -> None:
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for name in NUMBERS:
        values = [torch.tensor([row[name] for row in rows]) for rows in (ours, theirs)]
        torch.testing.assert_close(*values, rtol=1e-5, atol=1e-6)


def assert_same_policy(ours: Path, theirs: Path) -> None:
    weights = [load_policy(root / "step-0000012").state_dict() for root in (ours, theirs)]
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_processes_train_as_one_and_either_resumes_the_other(tmp_path: Path) -> None:
    _, alone = run_training(tmp_path / "one", settings())
    both = train_in_two(tmp_path / "two")
    for rows in both:
        assert_same_curve(rows, alone)
    assert steps_saved(tmp_path / "two") == [6, 12]  # written by one of them
    assert_same_policy(tmp_path / "two", tmp_path / "one")

    train_in_two(tmp_path / "mixed", until=6)
    assert steps_saved(tmp_path / "mixed") == [6]
    _, rest = run_training(tmp_path / "mixed", settings())
    assert_same_curve(rest, alone[2:])

    run_training(tmp_path / "other", settings(), until=6)
    assert_same_curve(train_in_two(tmp_path / "other")[0], alone[2:])
    assert_same_policy(tmp_path / "other", tmp_path / "one")


@pytest.mark.slow
def test_two_processes_train_a_union_as_one(tmp_path: Path) -> None:
    _, alone = run_training(tmp_path / "one", settings(), union=True)
    for rows in train_in_two(tmp_path / "two", union=True):
        assert_same_curve(rows, alone)
    assert_same_policy(tmp_path / "two", tmp_path / "one")


@pytest.mark.parametrize(("parts", "union"), few([(2, True), (8, False), (2, False), (8, True)], 2))
def test_parts_add_up_to_the_batch(tmp_path: Path, parts: int, union: bool) -> None:
    _, whole = run_training(tmp_path / "whole", settings(), union=union)
    _, split = run_training(tmp_path / "split", settings(accumulate=parts), union=union)
    assert_same_curve(split, whole)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_the_shares_are_the_batch(size: int) -> None:
    rows = [World(rank, size).rows(8) for rank in range(size)]
    assert [i for share in rows for i in range(8)[share]] == list(range(8))


def test_a_batch_that_does_not_fall_into_parts_is_refused() -> None:
    text = r"batch = 10 does not fall into 4 equal parts \(2 processes x training.accumulate = 2\)"
    with pytest.raises(SettingsError, match=text + r".*training.batch=12"):
        check_shares(TrainingSettings(batch=10, accumulate=2), 2)
    check_shares(TrainingSettings(batch=12, accumulate=2), 2)


def test_several_processes_do_not_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with (
        pytest.raises(SettingsError, match=r"device = cuda:0 for process 1.*training.device=cuda"),
        distributed.join(TrainingSettings(device="cuda:0")),
    ):
        pass


def test_processes_that_begin_at_different_steps_all_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def reduce(values: torch.Tensor) -> None:
        values += torch.tensor([0, 6, 12]) * (torch.arange(3) != 1)  # of the two others

    monkeypatch.setattr("torch.distributed.all_reduce", reduce)
    with pytest.raises(CheckpointError, match=r"begin at steps \[0, 6, 12\]: .* where all of them"):
        World(rank=1, size=3).check_equal(6, torch.device("cpu"))
