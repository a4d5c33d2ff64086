"""What a data config may say, for scripts that read its stores and train nothing."""

from dataclasses import dataclass, field

from ambient_policy.settings import (
    Dimensions,
    LanguageSettings,
    MixtureEntry,
    NormalizerSettings,
    SourceSettings,
    TaskSettings,
    TunedSettings,
    add_mixture,
)


@dataclass
class DataConfig:
    """As in ``RunSettings``; sources, dimensions and normalizer decide the unit of sigma."""

    sources: dict[str, SourceSettings] = field(default_factory=dict)
    # more sources, in the field's form; their names are those of a training
    mixture: list[MixtureEntry] = field(default_factory=list)
    dimensions: Dimensions = Dimensions.same
    normalizer: NormalizerSettings = field(default_factory=NormalizerSettings)
    # a data config may say these too; no unit depends on them
    cameras: list[str] = field(default_factory=list)
    language: LanguageSettings = field(default_factory=LanguageSettings)
    task: TaskSettings = field(default_factory=TaskSettings)
    tuned: TunedSettings = field(default_factory=TunedSettings)

    def all_sources(self) -> dict[str, SourceSettings]:
        """Those under their names and those of the list."""
        return add_mixture(self.sources, self.mixture)
