"""One run as one value: every choice with a comment over it, and checks across fields.

``configs/`` fills these dataclasses; ``__post_init__`` refuses what cannot work before any work.
"""

from ambient_policy.settings.data import (
    ArmSettings,
    BoundsSettings,
    DataSettings,
    Dimensions,
    NormalizerKind,
    NormalizerSettings,
    SourceSettings,
    StatisticsOf,
    Tables,
    TaskSettings,
    Teaches,
    Trust,
    TunedSettings,
)
from ambient_policy.settings.model import (
    ActionSettings,
    EncoderSettings,
    Language,
    LanguageSettings,
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
    "ArmSettings",
    "BoundsSettings",
    "DataSettings",
    "Declared",
    "Dimensions",
    "EncoderSettings",
    "Language",
    "LanguageSettings",
    "LossSettings",
    "NetworkSettings",
    "NoiseSettings",
    "NormalizerKind",
    "NormalizerSettings",
    "Precision",
    "RunSettings",
    "SolverSettings",
    "SourceSettings",
    "StatisticsOf",
    "Tables",
    "TaskSettings",
    "Teaches",
    "TrackingSettings",
    "TrainingSettings",
    "Trust",
    "TunedSettings",
    "ValidationSettings",
    "WandbMode",
    "from_json",
    "to_json",
]
