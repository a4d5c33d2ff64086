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
    ActionSettings,
    EncoderSettings,
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
    Declared,
    LossSettings,
    Precision,
    TrackingSettings,
    TrainingSettings,
    ValidationSettings,
    WandbMode,
)

__all__ = [
    "ActionSettings",
    "BoundsSettings",
    "Declared",
    "EncoderSettings",
    "LossSettings",
    "NetworkSettings",
    "NoiseSettings",
    "NormalizerKind",
    "NormalizerSettings",
    "Precision",
    "RunSettings",
    "SolverSettings",
    "SourceSettings",
    "TaskSettings",
    "TrackingSettings",
    "TrainingSettings",
    "Trust",
    "TunedSettings",
    "ValidationSettings",
    "WandbMode",
    "from_json",
    "to_json",
]
