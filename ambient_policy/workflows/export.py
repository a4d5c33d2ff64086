"""What leaves the project: a store in a format of others, or a run's policy as a folder."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from ambient_datasets import export as outward
from ambient_datasets.export import FORMATS, make_target
from ambient_policy.card import Evaluated, write_card
from ambient_policy.errors import CheckpointError, SettingsError
from ambient_policy.evaluation.comparison import compare
from ambient_policy.evaluation.records import read_episodes
from ambient_policy.files import refuse_inside
from ambient_policy.pretrained import Pretrained, save_pretrained
from ambient_policy.training.checkpoint import declared_step
from ambient_policy.workflows.evaluation import EvaluateSettings, find, fingerprint


@dataclass
class ExportSettings:
    """What goes out, and where to: a store in a format, or the policy of a run."""

    # a store of ours, and the format it is written in: lerobot or diffusion_policy
    store: str | None = None
    format: str | None = None
    # or the folder of a run
    run: str | None = None
    # a new folder (of diffusion_policy also a name that ends in .zip)
    out: str = "???"
    # of a store: names of its observation columns by the key that is to hold them; none: all under
    # the format's own key
    observations: dict[str, list[str]] = field(default_factory=dict)
    # of a store: key of a camera by its name, where it is to be another than the format's
    cameras: dict[str, str] = field(default_factory=dict)
    # of lerobot: cameras as videos, lossy; null = false, pictures in the parquet, exact
    video: bool | None = None
    # of videos: loss, 0 to 51; null = 18
    crf: int | None = None
    # of lerobot: limits of a data file, as it lies in memory, and of a video; null = 100 and 200
    file_megabytes: int | None = None
    video_megabytes: int | None = None
    # of a run: step of the checkpoint; null = the one declared before training
    checkpoint: int | None = None
    # of a run: licence of its weights by the Hub's identifier; null = unknown
    license: str | None = None
    # of a run: data sets on the Hub that it was trained on, e.g. [lerobot/pusht]
    datasets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if (self.store is None) == (self.run is None):
            raise SettingsError(
                f"store = {self.store}, run = {self.run}: give the one that is to go out."
            )
        if self.store is not None and self.format is None:
            raise SettingsError(f"no value for format; give one of {', '.join(FORMATS)}.")
        kind, others = ("store", RUN) if self.store is not None else ("run", STORE)
        idle = [name for name in others if getattr(self, name) not in (None, {}, [])]
        if idle:
            raise SettingsError(f"{', '.join(idle)}: of no use to a {kind}; leave it out.")
        filmed = [name for name in FILM if getattr(self, name) is not None]
        if filmed and not self.video:
            raise SettingsError(f"{', '.join(filmed)}: of videos only; leave it out or set video.")


FILM = ("crf", "video_megabytes")
OPTIONS = ("video", "file_megabytes", *FILM)
STORE = ("format", "observations", "cameras", *OPTIONS)
RUN = ("checkpoint", "license", "datasets")


def export_store(settings: ExportSettings, console: Console) -> None:
    """Write a store in a format of others, and say what became of it."""
    given = {name: getattr(settings, name) for name in OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    target = make_target(str(settings.format), **options)
    exported = outward.export(
        str(settings.store),
        target,
        settings.out,
        observations=settings.observations,
        cameras=settings.cameras,
    )
    console.print(str(exported), highlight=False, markup=False)


def export_run(settings: ExportSettings, console: Console) -> None:
    """Write the policy of a run with its model card."""
    run = Path(str(settings.run))
    refuse_inside(Path(settings.out), run)
    pretrained = find(EvaluateSettings(run=str(run), checkpoint=settings.checkpoint))
    found = find_evaluation(run, pretrained)
    license = settings.license or "unknown"
    card = write_card(
        pretrained,
        license=license,
        datasets=settings.datasets,
        evaluated=found,
        declared=find_declared(run, pretrained),
    )
    save_pretrained(Path(settings.out), pretrained, card)
    told = "its evaluation is in the card" if found else "the card has no evaluation of it"
    console.print(
        f"{settings.out}: the policy of step {pretrained.step} of {run}, licence {license}; {told}",
        highlight=False,
        markup=False,
    )


def find_declared(run: Path, pretrained: Pretrained) -> int | None:
    """The step that was declared before training; None where the folder cannot tell it."""
    try:
        return declared_step(run / "checkpoints", pretrained.settings)
    except CheckpointError:  # the best one, of an unfinished training or an exported policy
        return None


def find_evaluation(run: Path, pretrained: Pretrained) -> Evaluated | None:
    """The evaluation in the run's folder, where it is of these very weights."""
    file = run / "evaluation" / "evaluation.json"
    if not file.exists():
        return None
    asked = json.loads(file.read_text())
    if asked.get("weights") != fingerprint(pretrained.policy):
        return None
    episodes = read_episodes(file.with_name("episodes.jsonl"))
    arm, seed = pretrained.settings.label, pretrained.settings.seed
    table = compare({arm: {seed: episodes}}, extra=sorted(episodes[0].best))
    return Evaluated(asked, table.row(arm))


def export(settings: ExportSettings) -> None:
    """Write a store in a format of others, or a run's policy as a folder with its card."""
    write = export_store if settings.store is not None else export_run
    write(settings, Console(soft_wrap=True))
