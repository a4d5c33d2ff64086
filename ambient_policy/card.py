"""The model card of a policy: README.md with the header that the Hugging Face Hub reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ambient_policy.card_facts import facts, interface, sources, training
from ambient_policy.evaluation.comparison import Row
from ambient_policy.evaluation.tables import interval, number, percent
from ambient_policy.policy_folder import LIBRARY
from ambient_policy.saved import SavedPolicy
from ambient_policy.settings import RunSettings, Teaches, Trust

# settings of an evaluation that evaluation.json has
STARTS = ("episodes", "first_seed", "seed")
SOLVER = ("kind", "steps", "spacing")
TAGS = ("robotics", "imitation-learning", "diffusion-policy", "ambient-diffusion")


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of these very weights.

    Attributes:
        summary: first_seed, episodes, seed and solver, as evaluation.json has them.
        row: its numbers.
    """

    summary: Mapping[str, Any]
    row: Row


def write_card(
    saved: SavedPolicy,
    *,
    license: str,
    datasets: Sequence[str] = (),
    evaluation: Evaluation | None = None,
    declared: int | None = None,
) -> str:
    """The text of the card.

    Args:
        saved: what it speaks of.
        license: of the weights, by the Hub's identifier.
        datasets: those on the Hub that it was trained on, e.g. "lerobot/pusht".
        evaluation: None where these weights were not evaluated.
        declared: step of the checkpoint that was declared before training; None where nobody knows
            it any more.
    """
    settings, task = saved.settings, saved.policy.spec.task
    parts = [
        _header(saved, license, datasets, evaluation),
        f"# {_name(saved)}\n\nA diffusion policy over action chunks for `{task}`, "
        f"trained with [ambient_policy](#how-to-run-it){_teaching(settings)}.\n",
        _usage(saved, evaluation),
        interface(saved),
        sources(settings),
        training(saved, declared),
        _results(evaluation, settings.task.path_unit),
        _limits(task, evaluation),
    ]
    return "\n".join(parts)


def _name(saved: SavedPolicy) -> str:
    settings = saved.settings
    title = settings.experiment or saved.policy.spec.task
    return f"{title}: {settings.label}, seed {settings.seed}"


def _teaching(settings: RunSettings) -> str:
    """What is ambient about it, where a source taught a part of the noise levels."""
    arm = settings.arm
    words = {Trust.trusted: arm.trusted, Trust.suboptimal: arm.suboptimal}
    roles = {source.trust for source in settings.sources.values()} - {Trust.rejected}
    whole = (Teaches.everything, Teaches.nothing)
    if all(role is not None and words[role] in whole for role in roles):
        return ""
    return (
        ": each episode of its demonstrations taught only the noise levels at which it was trusted"
    )


def _header(
    saved: SavedPolicy, license: str, datasets: Sequence[str], evaluation: Evaluation | None
) -> str:
    from huggingface_hub import ModelCardData  # slow to import, and an export alone needs it

    results = None if evaluation is None else [_result(saved.policy.spec.task, evaluation.row)]
    data = ModelCardData(
        license=license,
        library_name=LIBRARY,
        pipeline_tag="robotics",
        tags=list(TAGS),
        datasets=list(datasets) or None,
        model_name=None if results is None else _name(saved),
        eval_results=results,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _result(task: str, row: Row) -> Any:
    """The success rate as the Hub lists it."""
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type="robotics",
        task_name="robotics",
        dataset_type=task,
        dataset_name=task,
        metric_type="success_rate",
        metric_name="success rate",
        metric_value=row.success.estimate,
    )


def _usage(saved: SavedPolicy, evaluation: Evaluation | None) -> str:
    """The command repeats the evaluation, where there was one."""
    horizons = saved.policy.horizons
    starts = "episodes=200" if evaluation is None else _overrides(saved, evaluation.summary)
    return f"""## How to run it

With `ambient-policy` installed and this folder as `policy/`:

```bash
ambient-policy evaluate run=policy {starts}
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


def _overrides(saved: SavedPolicy, summary: Mapping[str, Any]) -> str:
    """The overrides of an evaluation; of its solver, what differs from the policy's own."""
    solver = saved.policy.spec.solver
    own = solver.kind.value, solver.steps, solver.spacing.value
    changes = zip(SOLVER, summary["solver"], own, strict=True)
    starts = [f"{key}={summary[key]}" for key in STARTS]
    return " ".join([*starts, *(f"solver.{key}={to}" for key, to, of in changes if to != of)])


def _results(evaluation: Evaluation | None, unit: str) -> str:
    if evaluation is None:
        return "## Evaluation\n\nThese weights have not been evaluated.\n"
    summary, row = evaluation.summary, evaluation.row
    first, count = summary["first_seed"], summary["episodes"]
    extra = {f"best {key}": interval(value) for key, value in row.extra.items()}
    return facts(
        "Evaluation",
        {
            "starts": f"{count}, seeds {first} to {first + count - 1}; "
            f"noise seed {summary['seed']}",
            "solver": ", ".join(map(str, summary["solver"])),
            "success [%]": f"{percent(row.success)}, {row.successes} of {row.episodes}",
            f"squared jerk, successes [({unit}/s³)²]": interval(row.squared_jerk_successes),
            f"squared jerk, all [({unit}/s³)²]": interval(row.squared_jerk),
            "duration, successes [s]": interval(row.duration_successes),
            **extra,
            "failures": ", ".join(f"{n} {why}" for why, n in row.failures.items()) or "none",
        },
    )


def _limits(task: str, evaluation: Evaluation | None) -> str:
    lines = [
        f"It is made for `{task}` and for the observations, actions and control rate "
        "above; it knows nothing of any other world or robot.",
        "Nothing here tested it on a real robot, and it has no notion of safety: put limits around "
        "it before it moves anything.",
        "One training seed: another seed of the same settings gives another success rate.",
    ]
    if evaluation is not None:
        width = evaluation.row.success.high - evaluation.row.success.low
        lines.append(
            f"Its success rate is known to about ±{number(50 * width)} points: the interval above "
            "is over starts, not over trainings."
        )
    return "## Known limits\n\n" + "".join(f"- {line}\n" for line in lines)
