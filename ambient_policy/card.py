"""The model card of a policy: README.md with a YAML header that the Hugging Face Hub reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ambient_policy.evaluation.comparison import Row
from ambient_policy.evaluation.tables import interval, number, percent
from ambient_policy.markdown import markdown_table
from ambient_policy.policy_folder import LIBRARY
from ambient_policy.saved import SavedPolicy
from ambient_policy.settings import RunSettings, SourceSettings, Teaches, Trust

# settings of scripts/evaluate.py that an evaluation remembers
STARTS = ("episodes", "first_seed", "seed")
SOLVER = ("kind", "steps", "spacing")
TAGS = ("robotics", "imitation-learning", "diffusion-policy", "ambient-diffusion")


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation of these very weights found.

    Attributes:
        asked: first_seed, episodes, seed and solver, as evaluation.json has them.
        row: its numbers.
    """

    asked: Mapping[str, Any]
    row: Row


def write_card(
    saved: SavedPolicy,
    *,
    license: str,
    datasets: Sequence[str] = (),
    evaluated: Evaluated | None = None,
    declared: int | None = None,
) -> str:
    """The text of the card.

    Args:
        saved: what it speaks of.
        license: of the weights, by the Hub's identifier.
        datasets: those on the Hub that it was trained on, e.g. "lerobot/pusht".
        evaluated: None where these weights were not evaluated.
        declared: step of the checkpoint that was declared before training; None where it cannot be
            told any more.
    """
    settings = saved.settings
    parts = [
        _header(saved, license, datasets, evaluated),
        f"# {_name(settings)}\n\nA diffusion policy over action chunks for `{settings.task.id}`, "
        f"trained with [ambient_policy](#how-to-run-it){_teaching(settings)}.\n",
        _running(saved, evaluated),
        _interface(saved),
        _sources(settings),
        _training(saved, declared),
        _results(evaluated, settings.task.path_unit),
        _limits(settings, evaluated),
    ]
    return "\n".join(parts)


def _name(settings: RunSettings) -> str:
    return f"{settings.experiment or settings.task.id}: {settings.label}, seed {settings.seed}"


def _teaching(settings: RunSettings) -> str:
    """What is ambient about it, where any demonstrations were neither taken nor left whole."""
    whole = (Trust.trusted, Trust.rejected)
    if all(source.trust in whole for source in settings.sources.values()):
        return ""
    return (
        ": each episode of its demonstrations taught only the noise levels at which it was trusted"
    )


def _header(
    saved: SavedPolicy, license: str, datasets: Sequence[str], evaluated: Evaluated | None
) -> str:
    """Every value is JSON, which YAML contains."""
    values: dict[str, Any] = {
        "license": license,
        "library_name": LIBRARY,
        "pipeline_tag": "robotics",
        "tags": [*TAGS],
    }
    if datasets:
        values["datasets"] = list(datasets)
    if evaluated is not None:
        values["model-index"] = [_index(saved.settings, evaluated.row)]
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    return "\n".join(["---", *lines, "---", ""])


def _index(settings: RunSettings, row: Row) -> dict[str, Any]:
    """The results as the Hub lists them."""
    metric = {"type": "success_rate", "name": "success rate", "value": row.success.estimate}
    result = {
        "task": {"type": "robotics", "name": "robotics"},
        "dataset": {"type": settings.task.id, "name": settings.task.id},
        "metrics": [metric],
    }
    return {"name": _name(settings), "results": [result]}


def _running(saved: SavedPolicy, evaluated: Evaluated | None) -> str:
    """The command repeats the evaluation, where there was one."""
    horizons = saved.policy.horizons
    asked = "episodes=200" if evaluated is None else _asked(saved, evaluated.asked)
    return f"""## How to run it

With `ambient_policy` installed and this folder as `policy/`:

```bash
ambient-policy evaluate run=policy {asked}
```

```python
import ambient_policy as ap

actor = ap.load_policy("policy").actor()
action = actor.act(observation)
```

Call `actor.act` once every control period with what the robot sees then, and `actor.reset()`
between episodes. From the last {horizons.obs} observations it plans {horizons.pred} actions, and
executes {horizons.act} of them before it plans anew.
"""


def _asked(saved: SavedPolicy, asked: Mapping[str, Any]) -> str:
    """The overrides of an evaluation; of its solver, what differs from the policy's own."""
    solver = saved.policy.spec.solver
    own = solver.kind.value, solver.steps, solver.spacing.value
    changes = zip(SOLVER, asked["solver"], own, strict=True)
    starts = [f"{key}={asked[key]}" for key in STARTS]
    return " ".join([*starts, *(f"solver.{key}={to}" for key, to, of in changes if to != of)])


def _interface(saved: SavedPolicy) -> str:
    spec = saved.policy.spec
    cameras = [f"{name} {'x'.join(map(str, shape))}" for name, shape in spec.cameras.items()]
    return _facts(
        "What it sees and commands",
        {
            "control rate": f"{spec.control_rate:g} Hz",
            "observation": ", ".join(f"`{name}`" for name in spec.own_observations),
            "cameras": ", ".join(cameras) or "none",
            "instruction in rollouts": saved.settings.task.instruction or "none",
            "action": ", ".join(f"`{name}`" for name in spec.own_actions),
            "actions are learned": spec.actions.representation.value,
            "solver": f"{spec.solver.kind.value}, {spec.solver.steps} steps",
        },
    )


def _sources(settings: RunSettings) -> str:
    head = ["source", "store", "episodes", "trust", "thresholds (sigma)", "weight", "held out"]
    rows = [
        [
            name,
            f"`{source.path}`",
            _episodes(source),
            "by episode" if source.trust is None else source.trust.value,
            _thresholds(settings, source),
            "natural" if source.sampling_weight is None else f"{source.sampling_weight:g}",
            f"{source.val_ratio or 0:g}",
        ]
        for name, source in settings.sources.items()
    ]
    before = ""
    if settings.start_from is not None:
        before = (
            f"\nTraining started from the weights of `{settings.start_from}`: the demonstrations "
            "of that run taught this policy too, and are not in the table.\n"
        )
    return f"## Demonstrations\n\n{markdown_table(head, rows)}{before}"


def _episodes(source: SourceSettings) -> str:
    taken = "all" if source.max_episodes is None else f"the first {source.max_episodes}"
    most = source.max_train_episodes
    return taken if most is None else f"{taken}, of which at most {most} taught"


def _thresholds(settings: RunSettings, source: SourceSettings) -> str:
    """What its episodes taught under the arm of the run."""
    if source.trust in (None, Trust.rejected):
        return "by its store's annotation" if source.trust is None else "taught none"
    arm, tuned = settings.arm, settings.tuned
    word = arm.trusted if source.trust is Trust.trusted else arm.suboptimal
    if word in (Teaches.everything, Teaches.nothing):
        return f"taught {word.value}"
    low = tuned.sigma_min if source.sigma_min is None else source.sigma_min
    high = tuned.sigma_max if source.sigma_max is None else source.sigma_max
    numbers = {
        Teaches.above: f"taught above {low}",
        Teaches.above_or_below: f"taught above {low} or below {high}",
        Teaches.below: "taught below the others' sigma_min",
    }[word]
    return numbers.replace("None", "its store's annotation")


def _checkpoint(saved: SavedPolicy, declared: int | None) -> str:
    """Which one it is, and whether it was declared before anyone saw what it does."""
    step, rule = saved.step, f"the {saved.settings.training.declared.value} one"
    if declared == step:
        return f"step {step}; declared before training: {rule}"
    if declared is None:
        return f"step {step}; declared before training was {rule}, whose step is not known here"
    return f"step {step}, chosen at export; declared before training was {rule}, step {declared}"


def _training(saved: SavedPolicy, declared: int | None) -> str:
    settings, training = saved.settings, saved.settings.training
    loss = "ambient" if settings.loss.ambient else "denoising"
    prints = {body.normalizer.fingerprint for body in saved.policy.spec.embodiments.values()}
    return _facts(
        "How it was trained",
        {
            "experiment, arm": f"{settings.experiment or '–'}, {settings.label}",
            "training seed": f"{settings.seed}",
            "steps, windows a step": f"{training.steps}, {training.batch}",
            "started from": _start(settings),
            "checkpoint": _checkpoint(saved, declared),
            "weights": "moving average",
            "loss": loss,
            "noise levels": f"{settings.noise.law.value} law, {settings.noise.schedule.value} "
            f"schedule, {settings.noise.prediction.value} prediction",
            "normaliser": f"{_normalizer(settings)}, "
            f"fingerprint {', '.join(f'`{digits}`' for digits in sorted(prints))}",
            "learning rate": f"{training.learning_rate:g}",
            "exported by": f"{LIBRARY} {version(LIBRARY)}",
        },
    )


def _start(settings: RunSettings) -> str:
    start = settings.start_from
    return "random weights" if start is None else f"the averaged weights of `{start}`"


def _normalizer(settings: RunSettings) -> str:
    whose = settings.normalizer.statistics
    return settings.normalizer.kind.value + (f" ({whose.value})" if whose is not None else "")


def _results(evaluated: Evaluated | None, unit: str) -> str:
    if evaluated is None:
        return "## Evaluation\n\nThese weights have not been evaluated.\n"
    asked, row = evaluated.asked, evaluated.row
    first, count = asked["first_seed"], asked["episodes"]
    extra = {f"best {key}": interval(value) for key, value in row.extra.items()}
    return _facts(
        "Evaluation",
        {
            "starts": f"{count}, seeds {first} to {first + count - 1}; noise seed {asked['seed']}",
            "solver": ", ".join(map(str, asked["solver"])),
            "success [%]": f"{percent(row.success)}, {row.successes} of {row.episodes}",
            f"squared jerk, successes [({unit}/s³)²]": interval(row.squared_jerk_successes),
            f"squared jerk, all [({unit}/s³)²]": interval(row.squared_jerk),
            "duration, successes [s]": interval(row.duration_successes),
            **extra,
            "failures": ", ".join(f"{n} {why}" for why, n in row.failures.items()) or "none",
        },
    )


def _limits(settings: RunSettings, evaluated: Evaluated | None) -> str:
    lines = [
        f"It is made for `{settings.task.id}` and for the observations, actions and control rate "
        "above; it knows nothing of any other world or robot.",
        "Nothing here tested it on a real robot, and it has no notion of safety: put limits around "
        "it before it moves anything.",
        "One training seed: another seed of the same settings gives another success rate.",
    ]
    if evaluated is not None:
        width = evaluated.row.success.high - evaluated.row.success.low
        lines.append(
            f"Its success rate is known to about ±{number(50 * width)} points: the interval above "
            "is over starts, not over trainings."
        )
    return "## Known limits\n\n" + "".join(f"- {line}\n" for line in lines)


def _facts(title: str, facts: Mapping[str, str]) -> str:
    return (
        f"## {title}\n\n{markdown_table(['', ''], [[key, value] for key, value in facts.items()])}"
    )
