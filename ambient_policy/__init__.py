"""Diffusion policies from good and bad robot demonstrations.

    import ambient_policy as ap

    good = ap.Source("good.zarr", trust="trusted")
    jerky = ap.Source("jerky.zarr", trust="suboptimal", sigma_min=0.3)
    run = ap.Run(label="ambient", arm=ap.Arm(suboptimal="above"), sources={"a": good, "b": jerky})
    actor = ap.load_policy(ap.train(run)).actor(seed=0)
    action = actor.act(observation)

A run is one value, ``Run``; ``compose`` makes it of the configs and overrides of the command line.
``train``, ``evaluate``, ``compare``, ``annotate`` and ``describe`` do what the verbs of the command
``ambient-policy`` do. Everything is imported when it is first used: torch is not loaded before.
"""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what there is, for editors and type checkers; ``__getattr__`` reads it here
    from ambient_datasets.store import (
        Attributes,
        Episode,
        Store,
        append_episode,
        create_store,
        open_store,
    )
    from ambient_policy.actor import Actor
    from ambient_policy.errors import (
        AmbientPolicyError,
        CheckpointError,
        DataError,
        DivergenceError,
        SettingsError,
    )
    from ambient_policy.evaluation.records import EpisodeRecord
    from ambient_policy.horizons import Horizons
    from ambient_policy.jobs import JobSettings as Jobs
    from ambient_policy.policy import Policy
    from ambient_policy.saved import load_policy
    from ambient_policy.settings import ActionSettings as Actions
    from ambient_policy.settings import ArmSettings as Arm
    from ambient_policy.settings import BoundsSettings as Bounds
    from ambient_policy.settings import EncoderSettings as Encoder
    from ambient_policy.settings import LanguageSettings as Language
    from ambient_policy.settings import LossSettings as Loss
    from ambient_policy.settings import NetworkSettings as Network
    from ambient_policy.settings import NoiseSettings as Noise
    from ambient_policy.settings import NormalizerSettings as Normalizer
    from ambient_policy.settings import RunSettings as Run
    from ambient_policy.settings import SolverSettings as Solver
    from ambient_policy.settings import SourceSettings as Source
    from ambient_policy.settings import TaskSettings as Task
    from ambient_policy.settings import TrackingSettings as Tracking
    from ambient_policy.settings import TrainingSettings as Training
    from ambient_policy.settings import Trust
    from ambient_policy.settings import TunedSettings as Tuned
    from ambient_policy.settings import ValidationSettings as Validation
    from ambient_policy.workflows.annotation import AnnotateSettings as Annotation
    from ambient_policy.workflows.arms import CompareSettings as Comparison
    from ambient_policy.workflows.evaluation import EvaluateSettings as Evaluation
    from ambient_policy.workflows.evaluation import RolloutSettings as Rollouts
    from ambient_policy.workflows.evaluation import SolverChange
    from ambient_policy.workflows.screen import Row
    from ambient_policy.workflows.training import train, training

__all__ = [
    "Actions",
    "Actor",
    "AmbientPolicyError",
    "Annotation",
    "Arm",
    "Attributes",
    "Bounds",
    "CheckpointError",
    "Comparison",
    "DataError",
    "DivergenceError",
    "Encoder",
    "Episode",
    "EpisodeRecord",
    "Evaluation",
    "Horizons",
    "Jobs",
    "Language",
    "Loss",
    "Network",
    "Noise",
    "Normalizer",
    "Policy",
    "Rollouts",
    "Row",
    "Run",
    "SettingsError",
    "Solver",
    "SolverChange",
    "Source",
    "Store",
    "Task",
    "Tracking",
    "Training",
    "Trust",
    "Tuned",
    "Validation",
    "annotate",
    "append_episode",
    "compare",
    "compose",
    "create_store",
    "describe",
    "evaluate",
    "load_policy",
    "open_store",
    "train",
    "training",
]


def compose(*overrides: str, config_dir: str | None = None) -> "Run":
    """A run of the configs, as the command line makes it.

    Args:
        overrides: ``key=value`` and ``group=choice``, e.g. "experiment=maze", "arm=ambient".
        config_dir: a folder of configs of your own, from now on in front of those of the package.

    Raises:
        SettingsError: for an unknown key, choice or value, or values that do not go together.
    """
    from ambient_policy.workflows.configs import add_own
    from ambient_policy.workflows.settings import compose as compose_verb

    if config_dir is not None:
        add_own(config_dir)
    run: Run = compose_verb("train", overrides)
    return run


def evaluate(run: str | PathLike[str], **keys: Any) -> "list[EpisodeRecord]":
    """Roll a policy out on starts of its task, as ``ambient-policy evaluate``; print a table.

    Args:
        run: folder of a run, of a checkpoint or of an exported policy.
        keys: of ``Evaluation``: ``evaluate("runs/ambient/seed-0", episodes=50)``.
    """
    from ambient_policy.workflows.evaluation import EvaluateSettings, evaluate

    return evaluate(EvaluateSettings(run=str(run), **keys))


def annotate(settings: "Annotation") -> None:
    """Write what each episode may teach into stores, as ``ambient-policy annotate``."""
    from ambient_policy.workflows.annotation import annotate

    annotate(settings)


def compare(settings: "Comparison") -> None:
    """Train and evaluate arms on the same starts, as ``ambient-policy compare``; write the page."""
    from ambient_policy.workflows.comparison import compare

    compare(settings)


def describe(run: "Run", out: str | PathLike[str] | None = None) -> None:
    """Print who teaches what in a run before it is trained, as ``ambient-policy describe``.

    Args:
        run: any run.
        out: a file for the picture; None for none.
    """
    from ambient_policy.workflows.description import DescribeSettings, describe

    picture = None if out is None else str(out)
    describe(DescribeSettings(**vars(run), out=picture))


def __getattr__(name: str) -> Any:
    """A name of the imports above, on first use."""
    if name == "training":  # the folder of that name; it is called too
        return import_module(f"{__name__}.training")
    if name not in _homes():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, original = _homes()[name]
    value = globals()[name] = getattr(import_module(module), original)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@cache
def _homes() -> dict[str, tuple[str, str]]:
    """Each name of the imports above, with its module and its name there."""
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


class TrainingModule(ModuleType):
    """The package ``ambient_policy.training``, which can be called."""

    def __call__(self, settings: "Run") -> "Iterator[Row]":
        """Train, and yield the rows of the log as they come; nothing is printed.

        Whoever stops asking stops the training; the same call goes on from the last checkpoint.
        """
        from ambient_policy.workflows.training import training as rows

        return rows(settings)
