"""One run as one value: every choice with a comment over it, and checks across fields.

``configs/`` fills these dataclasses; ``__post_init__`` refuses what cannot work before any work.
"""

from ambient_policy.settings.data import (
    BoundsSettings,
    NormalizerKind,
    NormalizerSettings,
    SourceSettings,
    TaskSettings,
    Trust,
    TunedSettings,
)
from ambient_policy.settings.model import (
    NetworkSettings,
    NoiseSettings,
    SolverSettings,
)
from ambient_policy.settings.run import (
    RunSettings,
    from_json,
    to_json,
)
from ambient_policy.settings.training import (
    LossSettings,
    TrackingSettings,
    TrainingSettings,
    WandbMode,
)

__all__ = [
    "BoundsSettings",
    "LossSettings",
    "NetworkSettings",
    "NoiseSettings",
    "NormalizerKind",
    "NormalizerSettings",
    "RunSettings",
    "SolverSettings",
    "SourceSettings",
    "TaskSettings",
    "TrackingSettings",
    "TrainingSettings",
    "Trust",
    "TunedSettings",
    "WandbMode",
    "from_json",
    "to_json",
]
