"""Bad settings are one clear error before any training step; nothing on disk changes.

Every text names the thing, what is allowed and (by its words or its list) the remedy.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError
from ambient_policy.workflows import settings as compose

Refused = Callable[..., str]

ARMS = ["ambient", "ambient_locality", "cotrain"]
ARMS += ["exclusive", "finetune", "reweighted", "target_only"]


@pytest.fixture
def refused(maze: list[str], snapshot: Callable[[], dict[str, bytes]]) -> Refused:
    """Training with these overrides is refused with all these parts, and leaves no trace."""

    def check(overrides: list[str], *parts: str) -> str:
        before = snapshot()
        with pytest.raises(AmbientPolicyError) as caught:
            perform("train", [*maze, *overrides])
        text = str(caught.value)
        assert [part for part in parts if part not in text] == [], text
        assert snapshot() == before
        return text

    return check


@pytest.mark.parametrize("key", ["label", "sources.trusted.path", "training.steps"])
def test_a_key_without_a_value(refused: Refused, key: str) -> None:
    refused([f"{key}=???"], f"no value for {key}", f"{key}=...")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("seeed=3", ["'seeed'", "label", "training", "Did you mean 'seed'?"]),
        ("+seeed=3", ["'seeed'", "label", "training", "Did you mean 'seed'?"]),
        ("arn=ambient", ["'arn'", "Did you mean 'arm'?"]),
        ("training.stepz=3", ["'training.stepz'", "batch", "Did you mean 'training.steps'?"]),
        ("+training.stepz=3", ["'training.stepz'", "batch", "Did you mean 'training.steps'?"]),
        ("trainin.steps=3", ["'trainin.steps'", "Did you mean 'training.steps'?"]),
        ("network.width=[8]", ["'network.width'", "kernel", "'network.widths'"]),
        (
            "normalizer.actions.lowest=[0,0]",
            ["normalizer.actions.lowest", "actions has", "low"],
        ),
        ("+new=1", ["'new'", "experiment", "tracking"]),
        ("garbage", ["'garbage'", "no key=value"]),
    ],
)
def test_a_misspelt_key(refused: Refused, override: str, parts: list[str]) -> None:
    refused([override], *parts)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        (
            "sources.trusted.max_episode=3",
            ["'sources.trusted.max_episode'", "'sources.trusted.max_episodes'?", "sigma_min"],
        ),
    ],
)
def test_a_misspelt_key_of_a_source(refused: Refused, override: str, parts: list[str]) -> None:
    refused([override], *parts)


@pytest.mark.parametrize("override", ["sources.trustd.trust=rejected", "+sources={trustd: {}}"])
def test_a_misspelt_source_has_no_path(refused: Refused, override: str) -> None:
    refused([override], "sources.trustd.path is empty", "trusted, suboptimal, trustd")


def test_an_override_without_a_key(refused: Refused) -> None:
    refused(["=3"], "=3")


@pytest.mark.parametrize(
    ("override", "choices"),
    [
        ("task=mazy", ["maze", "pusht"]),
        ("arm=ambiant", ARMS),
        ("experiment=mase", ["demo", "maze", "pusht_human"]),
        ("data=nothing", ["maze", "pusht_human"]),
        ("network=tiny", ["small", "medium", "large"]),
        ("training=slow", ["maze", "pusht", "quick"]),
    ],
)
def test_an_unknown_choice_lists_what_exists(
    refused: Refused, override: str, choices: list[str]
) -> None:
    group, name = override.split("=")
    refused([override], f"unknown {group} '{name}'; known: ", *choices)


def test_a_group_that_a_verb_does_not_choose_from(refused: Refused) -> None:
    refused(["recipe=pusht"], "'recipe'", "ambient-policy train chooses task, data, noise")


def test_several_values_are_for_a_sweep(refused: Refused) -> None:
    refused(["training.steps=1,2"], "training.steps=1,2", "ambient-policy sweep", "key=[a,b]")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("training.steps=many", ["'many'", "Integer"]),
        ("training.steps=1.5", ["'1.5'", "Integer"]),
        ("training.learning_rate=fast", ["'fast'", "Float"]),
        ("loss.ambient=perhaps", ["'perhaps'", "bool"]),
        ("network.widths=3", ["network.widths is a list: write network.widths=[3]"]),
        ("network.widths=[a]", ["'a'", "Integer"]),
    ],
)
def test_a_value_of_the_wrong_type(refused: Refused, override: str, parts: list[str]) -> None:
    refused([override], override.partition("=")[0], *parts)


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("noise.law=cauchy", ["discrete", "log_normal", "log_logistic"]),
        ("noise.prediction=x1", ["x0", "eps", "v", "edm", "flow"]),
        ("noise.schedule=cubic", ["squaredcos", "linear"]),
        ("solver.kind=rk4", ["ddim", "ddpm", "heun", "dpmpp_2m"]),
        ("solver.spacing=even", ["leading", "trailing", "linspace", "karras", "log_snr"]),
        ("sources.trusted.trust=maybe", ["trusted", "suboptimal", "rejected"]),
        ("tracking.wandb=yes", ["disabled", "offline", "online"]),
        ("normalizer.kind=pixels", ["bounds", "range", "moments"]),
    ],
)
def test_a_value_that_is_not_allowed(refused: Refused, override: str, allowed: list[str]) -> None:
    key, _, value = override.partition("=")
    refused([override], key, f"'{value}'", ", ".join(allowed))


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (
            ["horizons.pred=18", "network.widths=[16,32,64]"],
            ["horizons.pred = 18", "multiple of 4", "16 or 20", "fewer network.widths"],
        ),
        (["horizons.act=17"], ["act = 17", "between 1 and pred", "The paper uses"]),
        (["horizons.obs=0"], ["obs = 0", "at least 1"]),
        (["network.kernel=4"], ["network.kernel = 4", "odd", "5"]),
        (["network.groups=7"], ["network.groups = 7", "divide", "[16, 32]"]),
        (["network.embedding=15"], ["network.embedding = 15"]),
        (["network.embedding=2"], ["network.embedding = 2"]),
        (["network.widths=[]"], ["network.widths"]),
    ],
)
def test_sizes_that_do_not_fit_the_network(
    refused: Refused, overrides: list[str], parts: list[str]
) -> None:
    refused(overrides, *parts)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("seed=-1", ["seed = -1", "negative"]),
        ("training.steps=0", ["training.steps = 0", "at least 1"]),
        ("training.learning_rate=0", ["training.learning_rate = 0", "positive"]),
        ("training.log_every=3", ["training.checkpoint_every = 2", "multiple", "log_every = 3"]),
        ("training.beta1=2", ["training.beta1 = 2"]),
        ("training.device=quantum", ["training.device", "quantum", "cpu"]),
        ("training.device=cuda:77", ["training.device", "cuda:77", "cpu"]),
        ("solver.steps=21", ["solver.steps = 21", "noise.levels = 20"]),
        ("solver.steps=0", ["solver.steps = 0", "from 1 to"]),
        ("solver.steps=1", ["solver.steps = 1", "sigma = 0.0898", "trailing or linspace"]),
        ("normalizer.actions.low=[0]", ["normalizer.actions", "low has 1", "2 dimensions"]),
        ("normalizer.actions.low=[6,0]", ["normalizer.actions", "low[0] = 6.0", "high[0] = 5.0"]),
        ("task.path=[agent_x,agent_z]", ["task.path", "agent_z", "agent_y", "goal_x"]),
        ("task.max_steps=0", ["task.max_steps = 0", "at least 1"]),
        ("noise=edm solver.spacing=trailing", ["solver.spacing = trailing", "noise.law", "karras"]),
        ("noise.sigma_data=0", ["noise.sigma_data = 0", "positive"]),
        ("noise=edm noise.scale=0", ["noise.scale = 0", "scale > 0"]),
        ("tuned.sigma_min=-1", ["tuned.sigma_min = -1", "from 0 to inf"]),
        ("arm=reweighted tuned.trusted_weight=null", ["reweights", "tuned.trusted_weight=0.1"]),
        ("sources.suboptimal.sigma_max={step:20}", ["sources.suboptimal.sigma_max", "0 to 19"]),
        ("tuned.sigma_min={vq:0.1}", ["tuned.sigma_min", "vq", "ve, vp, flow, log_snr, step"]),
        (
            "sources.suboptimal.sampling_weight=2",
            ["trusted has none", "Give every source one"],
        ),
        ("sources.trusted.max_episodes=4", ["'trusted'", "max_episodes = 4", "holds 3", "1 to 3"]),
    ],
)
def test_a_number_or_name_out_of_range(refused: Refused, override: str, parts: list[str]) -> None:
    refused(override.split(), *parts)


def test_a_run_without_a_label_or_place(maze: list[str], refused: Refused) -> None:
    refused(["label="], "label")
    refused(["label=a/b"], "label = a/b", "Give letters, digits", "root=.")
    refused(["label=.."], "label = ..")
    with pytest.raises(AmbientPolicyError, match="root"):  # trained, it would lie in /
        compose.compose("train", [*maze, "root="])


def test_a_sigma_nobody_may_teach(refused: Refused) -> None:
    bounds = ["trust=suboptimal", "sigma_min=0.5", "sigma_max=0.2"]
    overrides = [f"sources.{name}.{b}" for name in ("trusted", "suboptimal") for b in bounds]
    remedy = ("Lower a sigma_min", "raise a sigma_max")
    refused(["arm=ambient_locality", *overrides], "[0.2, 0.5]", "levels", *remedy)


def test_unannotated_stores_need_a_role_in_so_many_words(refused: Refused) -> None:
    refused(
        ["sources.trusted.trust=null"],
        "trusted.zarr",
        "source 'trusted'",
        "not annotated",
        "ambient-policy annotate",
    )


def test_bounds_beside_another_trust(refused: Refused) -> None:
    parts = ("source 'trusted'", "trust = suboptimal", "leave them out")
    refused(["sources.trusted.sigma_min=0.3"], *parts)


def test_an_arm_without_its_threshold(refused: Refused) -> None:
    parts = ("arm 'ambient'", "sigma_min of source 'suboptimal'", "tuned.sigma_min=0.3")
    refused(["tuned.sigma_min=null"], *parts)


def test_a_folder_that_holds_another_run(maze: list[str], refused: Refused) -> None:
    perform("train", maze)
    refused(["training.batch=9"], "ambient/seed-0 holds a run with other settings", "label=")


@pytest.mark.parametrize(
    ("yaml", "parts"),
    [
        ("trainin: {steps: 3}", ["trainin", "training"]),
        ("training: {stepz: 3}", ["stepz", "checkpoint_every", "steps"]),
        ("sources: {own: {path: '???'}}", ["sources.own.path"]),
        ("sources: {trusted: {pth: x}}", ["pth", "path"]),
    ],
)
def test_a_config_file_with_a_missing_or_misspelt_key(
    maze: list[str],
    own_configs: Callable[[str, str], None],
    yaml: str,
    parts: list[str],
) -> None:
    own_configs("experiment/own.yaml", f"# @package _global_\n{yaml}\n")
    with pytest.raises(AmbientPolicyError) as caught:
        perform("train", [*maze[1:], "task=maze", "data=maze", "experiment=own"])
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ([], ["no value for expert", "expert=..."]),
        (["expert=rtt"], ["unknown expert 'rtt'", "gcs, rrt", "Did you mean 'rrt'?"]),
        (["expert=rrt", "task.id=Mazy"], ["unknown task 'Mazy'", "ambient_envs/Maze-v0"]),
        (["expert=rrt", "task.kwargs.layout=mase"], ["'mase'", "corridors, rooms"]),
        (["expert=rrt", "episodes=0"], ["episodes = 0", "at least 1"]),
        (["expert=rrt", "episodez=3"], ["'episodez'", "jobs", "Did you mean 'episodes'?"]),
        (["expert=rrt", "task=pusht"], ["gym_pusht/PushT-v0", "ambient_envs/Maze-v0"]),
        (["expert=rrt", "+task.kwargs.colour=red"], ["colour", "layout"]),
    ],
)
def test_bad_settings_of_a_collection(
    tmp_path: Path, overrides: list[str], parts: list[str]
) -> None:
    path = tmp_path / "own.zarr"
    with pytest.raises(AmbientPolicyError) as caught:
        perform("collect", ["jobs.workers=1", "episodes=1", f"path={path}", *overrides])
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_delta_actions_under_the_ambient_loss(refused: Refused) -> None:
    delta = ["actions.representation=delta", "actions.origin=[agent_x,agent_y]"]
    refused(["loss.ambient=true", *delta], "loss.ambient = true", "delta", "relative or absolute")
