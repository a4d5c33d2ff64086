"""What version 0.1 wrote: refused with the command that migrates it, and then as good as new."""

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ambient_policy import seeding
from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError, CheckpointError, SettingsError
from ambient_policy.evaluation.records import read_motions
from ambient_policy.policy_folder import read_config
from ambient_policy.saved import folder_of, load_policy, open_policy, steps_saved
from ambient_policy.tracking import read_rows
from tests.kills import Moment, kill
from tests.workflows.conftest import write_store
from tests.workflows.tiny import TINY

V0_1 = Path(__file__).resolve().parent.parent / "v0_1"
RUN = Path("runs/ambient/seed-0")
STARTS = ["episodes=3", "threads=1", "worlds=2"]
OVERRIDES = [
    "experiment=maze",
    "arm=ambient",
    "root=runs",
    "sources.trusted.path=trusted.zarr",
    "sources.suboptimal.path=suboptimal.zarr",
    "sources.trusted.max_episodes=null",
    "sources.suboptimal.max_episodes=null",
    *TINY,
    "network.widths=[8]",
    "network.embedding=8",
    "network.kernel=3",
    "network.encoders.state.layers=[8]",
]
# A group norm of one channel per group takes the bias of the convolution before it away again: its
# gradient is rounding alone, which Adam scales to whole steps, and processors round differently.
NORMALISED_BIASES = ("first.0.bias", "second.0.bias", "last.0.0.bias")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where version 0.1 worked: its run and its exported policy, and the stores."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(V0_1 / "run", RUN)
    shutil.copytree(V0_1 / "policy", "policy")
    write_store(Path("trusted.zarr"))
    write_store(Path("suboptimal.zarr"), episodes=5)
    return tmp_path


@pytest.fixture
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers as version 0.1 drew them."""

    def stream(seed: int, purpose: str, *step: int) -> np.random.Philox:
        entropy = [seed, zlib.crc32(purpose.encode()), *step]
        return np.random.Philox(np.random.SeedSequence(entropy))

    monkeypatch.setattr(seeding, "_stream", stream)
    monkeypatch.setattr(seeding, "VERSION", 1)


def weights_of(folder: Path, name: str) -> bytes:
    return (folder / f"{name}.safetensors").read_bytes()


def test_its_files_are_refused_with_the_command(place: Path) -> None:
    checkpoint = RUN / "checkpoints/step-0000002"
    for path, shown in ((RUN, RUN), (checkpoint, RUN), (Path("policy"), Path("policy"))):
        for verb, key in (("evaluate", "run"), ("export", "run")):
            with pytest.raises(CheckpointError, match=rf"0.1.*ambient-policy migrate path={shown}"):
                perform(verb, [f"{key}={path}", "out=new"])
    with pytest.raises(AmbientPolicyError, match="ambient-policy migrate path="):
        perform("train", OVERRIDES)


def test_the_numbers_are_untouched(place: Path) -> None:
    old = V0_1 / "run/checkpoints/step-0000002"
    assert perform("migrate", ["path=."]) == 3
    new = RUN / "checkpoints/step-0000002"
    names = {file.name for file in new.iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "weights.safetensors",
        "optimizer.safetensors",
    }
    assert weights_of(new, "model") == weights_of(old, "average")
    for name in ("weights", "optimizer"):
        assert weights_of(new, name) == weights_of(old, name)
    assert weights_of(Path("policy"), "model") == weights_of(V0_1 / "policy", "model")
    run, exported = open_policy(new), open_policy("policy")
    assert run.policy.spec == exported.policy.spec and run.step == exported.step == 2
    assert run.settings == exported.settings and run.settings.label == "ambient"
    state = json.loads((old / "state.json").read_text())
    config = read_config(new)
    assert config["policy"] == state["policy"]
    assert config["held_out_loss"] is state["held_out_loss"] is None
    (Path("plain")).touch()
    modes = {file.stat().st_mode for file in [*new.iterdir(), *Path("policy").iterdir()]}
    assert modes == {Path("plain").stat().st_mode}
    assert perform("migrate", ["path=."]) == 0


@pytest.mark.usefixtures("then")
def test_it_evaluates_and_exports_as_before(place: Path) -> None:
    perform("migrate", ["path=runs"])
    perform("migrate", ["path=policy"])
    before = read_motions(RUN / "evaluation/motions.npz")
    for path in (RUN, Path("policy")):
        perform("evaluate", [f"run={path}", "checkpoint=2", "out=again", *STARTS])
        after = read_motions(Path("again/motions.npz"))
        assert after.keys() == before.keys()
        for seed, motion in before.items():  # of another processor, in the last digits
            np.testing.assert_allclose(after[seed].actions[0], motion.actions[0], atol=1e-4)
        shutil.rmtree("again")
    perform("export", [f"run={RUN}", "checkpoint=2", "out=new"])
    assert "3, seeds 100000 to 100002" in Path("new/README.md").read_text()  # its evaluation
    ours, theirs = load_policy("new").state_dict(), load_policy("policy").state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_does_not_go_on_under_other_random_numbers(place: Path) -> None:
    perform("migrate", [f"path={RUN}"])
    with pytest.raises(
        CheckpointError, match=r"random numbers of version 1, .* start_from=runs/amb"
    ):
        perform("train", OVERRIDES)
    perform("train", [*OVERRIDES, "label=new", f"start_from={RUN}/checkpoints/step-0000002"])


@pytest.mark.usefixtures("then")
def test_it_goes_on_as_if_never_interrupted(place: Path) -> None:
    perform("migrate", [f"path={RUN}"])
    rows = read_rows(RUN / "log.jsonl")
    perform("train", OVERRIDES)
    assert steps_saved(RUN / "checkpoints") == [2, 4]
    resumed = load_file(folder_of(RUN / "checkpoints", 4) / "model.safetensors")
    then = load_file(V0_1 / "step-0000004.safetensors")
    assert resumed.keys() == then.keys()
    perform("train", [*OVERRIDES, "root=whole"])
    whole = load_policy("whole/ambient/seed-0").state_dict()
    for name, weights in resumed.items():
        if name.endswith(NORMALISED_BIASES):
            continue
        torch.testing.assert_close(weights, then[name], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(weights, whole[name], rtol=1e-4, atol=1e-6)
    losses = [
        [row["loss"] for row in read_rows(Path(root) / "ambient/seed-0/log.jsonl")]
        for root in ("runs", "whole")
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    np.testing.assert_allclose(losses[0], [row["loss"] for row in rows], rtol=1e-4)


@pytest.mark.parametrize(
    "change", [pytest.param(n, marks=() if n == 4 else pytest.mark.slow) for n in range(1, 12)]
)
def test_a_kill_leaves_a_folder_of_one_format(place: Path, change: int) -> None:
    checkpoint, policy = (place / RUN / "checkpoints/step-0000002").absolute(), place / "policy"
    moment = Moment(place, change)
    kill(perform, "migrate", [f"path={place}"], at=moment)
    if (checkpoint / "config.json").exists():
        load_policy(checkpoint)
    else:
        was = V0_1 / "run/checkpoints/step-0000002"
        assert weights_of(checkpoint, "average") == weights_of(was, "average")
        assert (checkpoint / "state.json").exists()
    if json.loads((policy / "config.json").read_text())["format"] == 2:
        load_policy(policy)
    perform("migrate", [f"path={place}"])
    assert load_policy(checkpoint).spec == load_policy(policy).spec
    assert {file.name for file in checkpoint.iterdir()} == {
        "config.json",
        "model.safetensors",
        "weights.safetensors",
        "optimizer.safetensors",
    }
    assert perform("migrate", [f"path={place}"]) == 0


def test_damage_stays_where_it_is(place: Path) -> None:
    file = RUN / "checkpoints/step-0000002/average.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=r"average.safetensors cannot be .*as it was"):
        perform("migrate", ["path=runs"])
    assert not (file.parent / "config.json").exists()
    model = Path("policy/model.safetensors")
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model.safetensors cannot be .*SHA-256 is not the"):
        perform("migrate", ["path=policy"])
    with pytest.raises(SettingsError, match=r"path = nowhere is no folder. Name a run, a"):
        perform("migrate", ["path=nowhere"])
