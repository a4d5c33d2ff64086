"""Facts of a policy as sections of its model card: what it sees, who taught it, and how."""

from collections.abc import Mapping
from importlib.metadata import version

from ambient_policy.markdown import markdown_table
from ambient_policy.policy_folder import LIBRARY
from ambient_policy.saved import SavedPolicy
from ambient_policy.settings import RunSettings, SourceSettings, Teaches, Trust


def facts(title: str, rows: Mapping[str, str]) -> str:
    """A section: a title, and a table of names and values."""
    return f"## {title}\n\n{markdown_table(['', ''], [list(row) for row in rows.items()])}"


def interface(saved: SavedPolicy) -> str:
    """What it sees and commands."""
    spec = saved.policy.spec
    cameras = [f"{name} {'x'.join(map(str, shape))}" for name, shape in spec.cameras.items()]
    return facts(
        "What it sees and commands",
        {
            "control rate": f"{spec.control_rate:g} Hz",
            "observation": ", ".join(f"`{name}`" for name in spec.own_observations),
            "cameras": ", ".join(cameras) or "none",
            "instruction in rollouts": saved.settings.task.instruction or "none",
            "action": ", ".join(f"`{name}`" for name in spec.own_actions),
            "actions are learned": spec.actions.representation.value,
            "sigma = 1 is, in the unit of each action": _sigma_of_one(saved),
            "solver": f"{spec.solver.kind.value}, {spec.solver.steps} steps",
        },
    )


def _sigma_of_one(saved: SavedPolicy) -> str:
    """The noise of level 1 before normalisation: the scale of each action's normaliser."""
    spec = saved.policy.spec
    scales = spec.embodiments[spec.acting].normalizer.actions.scale
    return ", ".join(f"`{n}` {s:.4g}" for n, s in zip(spec.own_actions, scales, strict=True))


def sources(settings: RunSettings) -> str:
    """The demonstrations, and what they taught."""
    head = ["source", "store", "episodes", "trust", "thresholds [sigma]", "weight", "held out"]
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
    count = "all" if source.max_episodes is None else f"the first {source.max_episodes}"
    most = source.max_train_episodes
    return count if most is None else f"{count}, of which at most {most} taught"


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


def training(saved: SavedPolicy, declared: int | None) -> str:
    """How it was trained.

    Args:
        saved: the policy.
        declared: step of the checkpoint that was declared before training; None if unknown.
    """
    settings, choices = saved.settings, saved.settings.training
    loss = "ambient" if settings.loss.ambient else "denoising"
    prints = {body.normalizer.fingerprint for body in saved.policy.spec.embodiments.values()}
    return facts(
        "How it was trained",
        {
            "experiment, arm": f"{settings.experiment or '–'}, {settings.label}",
            "training seed": f"{settings.seed}",
            "steps, windows a step": f"{choices.steps}, {choices.batch}",
            "started from": _start(settings),
            "checkpoint": _checkpoint(saved, declared),
            "weights": "moving average",
            "loss": loss,
            "noise levels": f"{settings.noise.law.value} law, {settings.noise.schedule.value} "
            f"schedule, {settings.noise.prediction.value} prediction",
            "normaliser": f"{_normalizer(settings)}, "
            f"fingerprint {', '.join(f'`{digits}`' for digits in sorted(prints))}",
            "learning rate": f"{choices.learning_rate:g}",
            "exported by": f"{LIBRARY} {version(LIBRARY)}",
        },
    )


def _start(settings: RunSettings) -> str:
    start = settings.start_from
    return "random weights" if start is None else f"the averaged weights of `{start}`"


def _normalizer(settings: RunSettings) -> str:
    statistics = settings.normalizer.statistics
    whose = "" if statistics is None else f" ({statistics.value})"
    return settings.normalizer.kind.value + whose
