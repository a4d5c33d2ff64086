"""The arms of a comparison, as a grid of runs."""

from dataclasses import dataclass, field

from ambient_policy.errors import SettingsError, unknown
from ambient_policy.jobs import JobSettings
from ambient_policy.workflows.evaluation import RolloutSettings
from ambient_policy.workflows.grid import Grid, Run
from ambient_policy.workflows.settings import compose


@dataclass
class CompareSettings:
    """Which arms, how often, on which starts."""

    # folder of runs, table and page
    root: str = "runs/comparison"
    # heading of the page, and what it can and cannot show
    title: str = "Comparison"
    summary: str = ""
    # for every run, e.g. experiment=maze
    overrides: list[str] = field(default_factory=list)
    # label -> what else makes this arm, e.g. arm=ambient
    arms: dict[str, list[str]] = field(default_factory=dict)
    # training seeds
    seeds: list[int] = field(default_factory=lambda: [0, 1])
    # arm that the others are compared with; null = none
    baseline: str | None = None
    # smallest difference in success that matters, a share: 0.05 is 5 points. A difference whose
    # whole interval is smaller is called equivalent
    margin: float = 0.05
    # the same for every run; its seed is that of the bootstrap too
    evaluation: RolloutSettings = field(default_factory=RolloutSettings)
    # how many runs at a time, and where
    jobs: JobSettings = field(default_factory=JobSettings)
    # also write <publish>.json (a record per arm and training seed) and the figures to <publish>/
    publish: str | None = None
    # the world's own numbers to show, e.g. coverage
    extra: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.arms or not self.seeds:
            raise SettingsError(
                f"arms = {list(self.arms)}, seeds = {self.seeds}: name at least one of each, "
                "e.g. comparison=maze (ambient-policy configs comparison lists all)."
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise SettingsError(f"seeds = {self.seeds}: give every training seed once.")
        if self.baseline is not None and self.baseline not in self.arms:
            raise unknown("baseline", self.baseline, self.arms)
        if not 0 < self.margin < 1:
            raise SettingsError(
                f"margin = {self.margin} must lie between 0 and 1: the smallest difference in "
                "success that matters, e.g. margin=0.05 for 5 points."
            )


def grid_of(settings: CompareSettings) -> Grid:
    """The runs of every arm and seed.

    Raises:
        SettingsError: for overrides that do not compose.
    """
    runs = []
    for arm, changes in settings.arms.items():
        for seed in settings.seeds:
            names = [f"root={settings.root}", f"label={arm}", f"seed={seed}"]
            overrides = [*settings.overrides, *changes, *names]
            runs.append(Run(compose("train", overrides), overrides))
    return Grid(runs, settings.jobs, settings.evaluation)
