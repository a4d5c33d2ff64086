"""A run as a policy folder: the same numbers as the run, a card that the Hub reads, refusals."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError, CheckpointError, SettingsError
from ambient_policy.evaluation.records import read_motions
from ambient_policy.policy_folder import read_config, write_config
from ambient_policy.saved import folder_of, load_policy, open_policy

BOUNDS = ("sigma_min=null", "sigma_max=null")
ASKED = ["episodes=3", "worlds=2", "threads=1"]


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny run, evaluated."""
    run = tmp_path_factory.mktemp("run") / "seed-0"
    shutil.copytree(trained, run)
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    perform("evaluate", [f"run={run}", *ASKED])
    return run


@pytest.fixture
def policy(run: Path, tmp_path: Path) -> Path:
    """The run's policy, exported."""
    perform("export", [f"run={run}", f"out={tmp_path}/policy", "license=mit", "datasets=[a/b]"])
    return tmp_path / "policy"


def test_it_answers_as_the_run(run: Path, policy: Path) -> None:
    perform("evaluate", [f"run={policy}", *ASKED])
    ours, theirs = (read_motions(folder / "evaluation/motions.npz") for folder in (policy, run))
    assert ours.keys() == theirs.keys()
    for seed, motion in theirs.items():
        np.testing.assert_array_equal(ours[seed].actions, motion.actions)
        np.testing.assert_array_equal(ours[seed].path, motion.path)
    told = [(folder / "evaluation/evaluation.json").read_text() for folder in (policy, run)]
    assert told[0] == told[1]


def test_it_holds_the_averaged_weights_and_the_settings(run: Path, policy: Path) -> None:
    opened = open_policy(policy)
    average = load_policy(folder_of(run / "checkpoints", opened.step))
    assert opened.policy.spec == average.spec
    assert not opened.policy.training and opened.step == 4
    for name, weight in average.state_dict().items():
        assert torch.equal(opened.policy.state_dict()[name], weight)
    assert opened.settings.label == "ambient"


def test_the_card_is_one_for_the_hub(run: Path, policy: Path) -> None:
    card = ModelCard.load(policy / "README.md")
    data = card.data.to_dict()
    assert data["license"] == "mit" and data["library_name"] == "ambient-policy"
    assert data["pipeline_tag"] == "robotics" and data["datasets"] == ["a/b"]
    assert "robotics" in data["tags"]
    [result] = card.data.eval_results or []
    rows = (run / "evaluation/episodes.jsonl").read_text().splitlines()
    successes = [json.loads(row)["outcome"] == "success" for row in rows]
    assert (result.metric_type, result.metric_value) == ("success_rate", np.mean(successes))
    for fact in (
        "| trusted | `",
        "| trusted | taught everything |",
        "taught above 0.27 |",
        "training seed | 0 |",
        "started from | random weights |",
        "exported by | ambient-policy",
        ": each episode of its demonstrations taught only the noise levels at which it was trusted",
        "step 4; declared before training: the last one",
        "run=policy episodes=3 first_seed=100000 seed=0\n",
        "3, seeds 100000 to 100002",
        "| sigma = 1 is, in the unit of each action | `target_x` 2.5, `target_y` 2.5 |",
        "| thresholds [sigma] |",
        "## Known limits",
    ):
        assert fact in card.text, fact


def test_another_checkpoint_is_not_the_one_evaluated(run: Path, tmp_path: Path) -> None:
    perform("export", [f"run={run}", f"out={tmp_path}/policy", "checkpoint=2"])
    card = ModelCard.load(tmp_path / "policy/README.md")
    assert "These weights have not been evaluated." in card.text
    data = card.data.to_dict()
    assert data["license"] == "unknown" and "datasets" not in data and "model-index" not in data
    assert open_policy(tmp_path / "policy").step == 2
    chosen = "step 2, chosen at export; declared before training was the last one, step 4 |"
    assert chosen in card.text
    perform("export", [f"run={tmp_path}/policy", f"out={tmp_path}/again"])  # and stays so
    assert chosen in (tmp_path / "again/README.md").read_text()


def test_the_best_one_is_told_where_it_is_known(maze: list[str], tmp_path: Path) -> None:
    validation = ["sources.trusted.val_ratio=0.3", "training.validation={every: 2, windows: 8}"]
    validation += ["training.validation.bands=[0.5]", "training.declared=best"]
    perform("train", [*maze, *validation, "label=best"])
    run = tmp_path / "runs/best/seed-0"
    perform("export", [f"run={run}", f"out={tmp_path}/best"])
    best = open_policy(tmp_path / "best").step
    perform("export", [f"run={run}", f"out={tmp_path}/other", f"checkpoint={6 - best}"])
    perform("export", [f"run={tmp_path}/best", f"out={tmp_path}/again"])
    told = {n: (tmp_path / n / "README.md").read_text() for n in ("best", "other", "again")}
    assert f"step {best}; declared before training: the best one |" in told["best"]
    assert f"declared before training was the best one, step {best} |" in told["other"]
    assert "the best one, whose step is not known here |" in told["again"]


def test_the_command_repeats_the_solver_of_the_evaluation(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    perform("evaluate", [f"run={copied}", *ASKED, "solver.kind=ddpm", "solver.steps=5"])
    perform("export", [f"run={copied}", f"out={tmp_path}/policy"])
    card = (tmp_path / "policy/README.md").read_text()
    (command,) = (line for line in card.splitlines() if " evaluate run=policy" in line)
    assert command.endswith(" seed=0 solver.kind=ddpm solver.steps=5")
    perform("evaluate", [f"run={tmp_path}/policy", *shlex.split(command)[3:], "threads=1"])
    told = [(f / "evaluation/evaluation.json").read_text() for f in (copied, tmp_path / "policy")]
    assert told[0] == told[1]


def test_the_start_of_a_training_and_whole_trust_are_told(
    maze: list[str], trained: Path, tmp_path: Path
) -> None:
    whole = [f"sources.suboptimal.{n}" for n in ("trust=rejected", *BOUNDS)]
    perform("train", [*maze, *whole, "label=tuned", f"start_from={trained}"])
    perform("export", [f"run={tmp_path}/runs/tuned/seed-0", f"out={tmp_path}/policy"])
    card = (tmp_path / "policy/README.md").read_text()
    assert f"| started from | the averaged weights of `{trained}` |" in card
    assert f"Training started from the weights of `{trained}`: the demonstrations of" in card
    assert "taught only the noise levels" not in card


def test_infinite_thresholds_are_text_in_the_file_and_numbers_again(
    maze: list[str], tmp_path: Path
) -> None:
    bounds = ["trust=suboptimal", "sigma_min=inf", "sigma_max=0.1"]
    perform("train", [*maze, "label=odd", *(f"sources.suboptimal.{bound}" for bound in bounds)])
    perform("export", [f"run={tmp_path}/runs/odd/seed-0", f"out={tmp_path}/policy"])

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    record = json.loads((tmp_path / "policy/config.json").read_text(), parse_constant=refuse)
    assert record["settings"]["sources"]["suboptimal"]["sigma_min"] == "Infinity"
    assert open_policy(tmp_path / "policy").settings.sources["suboptimal"].sigma_min == np.inf


def change(folder: Path, /, **changes: Any) -> None:
    """Replace entries of config.json, checksums and all; a name with dots lies deeper."""
    record = read_config(folder)
    for name, value in changes.items():
        *places, last = name.split("__")
        holder = record
        for place in places:
            holder = holder[place]
        holder[last] = value
    write_config(folder, record)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, tuple[Any, str]] = {
    "no json": (lambda p: (p / "config.json").write_text("{"), "config.json: cannot be read"),
    "other": (lambda p: change(p, library="diffusers"), "config.json: 'library': 'diffusers'"),
    "format": (lambda p: change(p, format=99), "config.json: 'format': 99 is there, .* reads 2"),
    "0.1": (lambda p: change(p, format=1), "version 0.1.*ambient-policy migrate path="),
    "step": (lambda p: change(p, step="4"), "config.json: 'step': '4' is there"),
    "policy": (lambda p: change(p, policy={}), "config.json: 'policy.task': Field required"),
    "rate": (
        lambda p: change(p, policy__control_rate="fast"),
        "config.json: 'policy.control_rate': .*'fast'",
    ),
    "settings": (
        lambda p: change(p, settings__loss={"s_mux": 1}),
        "config.json: 'settings': settings key 'loss.s_mux'",
    ),
    "size": (
        lambda p: change(p, policy__network__widths=[16, 64]),
        "model.safetensors: these are not the weights",
    ),
    "weights": (
        lambda p: (p / "model.safetensors").write_bytes(b"\0" * 99),
        "model.safetensors: cannot be read",
    ),
    "bit": (
        lambda p: flip_a_bit(p / "model.safetensors"),
        "its SHA-256 is not the one in config.json",
    ),
    "lost": (
        lambda p: (p / "model.safetensors").unlink(),
        "model.safetensors: cannot be read",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_with_file_and_place(policy: Path, damage: str) -> None:
    spoil, text = DAMAGES[damage]
    spoil(policy)
    with pytest.raises(CheckpointError, match=text):
        perform("evaluate", [f"run={policy}", *ASKED])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["format=lerobot"], "format: of no use to a run"),
        (["cameras={a: b}"], "cameras: of no use to a run"),
        (["checkpoint=3"], r"no checkpoint of step 3. Name one of \[2, 4\]"),
        (["run=nowhere"], "nowhere holds no policy: neither config.json"),
        (["out=${run}"], "lies in .*, which is only read"),
    ],
)
def test_what_is_not_understood_is_refused(
    run: Path, tmp_path: Path, changes: list[str], text: str
) -> None:
    with pytest.raises(AmbientPolicyError, match=text):
        perform("export", [f"run={run}", f"out={tmp_path}/policy", *changes])
    assert list(tmp_path.iterdir()) == []


def test_an_exported_policy_has_one_checkpoint(policy: Path) -> None:
    perform("evaluate", [f"run={policy}", "checkpoint=4", "episodes=1", "threads=1"])
    with pytest.raises(SettingsError, match="holds the policy of step 4 only"):
        perform("evaluate", [f"run={policy}", "checkpoint=2", *ASKED])


def test_a_name_that_reads_as_a_number_stays_a_name(maze: list[str], tmp_path: Path) -> None:
    perform("train", [*maze, "label=Infinity"])
    perform("export", [f"run={tmp_path}/runs/Infinity/seed-0", f"out={tmp_path}/policy"])
    for folder in ("runs/Infinity/seed-0", "policy"):
        assert open_policy(tmp_path / folder).settings.label == "Infinity"


def test_a_folder_of_a_checkpoint_is_a_policy_too(run: Path, policy: Path) -> None:
    checkpoint = run / "checkpoints" / "step-0000004"
    weights = [load_policy(place).state_dict() for place in (run, checkpoint, policy)]
    assert all(torch.equal(weights[0][n], other[n]) for other in weights[1:] for n in weights[0])
    modes = {file.stat().st_mode & 0o777 for file in policy.iterdir() if file.is_file()}
    assert modes == {(policy / "README.md").stat().st_mode & 0o777}
