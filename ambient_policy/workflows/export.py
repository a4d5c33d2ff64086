"""What leaves the project: a store in a format of others, or a run's policy as a folder."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from ambient_datasets import export as outward
from ambient_datasets.export import FORMATS, make_target
from ambient_policy.card import Evaluation, write_card
from ambient_policy.errors import CheckpointError, SettingsError
from ambient_policy.evaluation.comparison import compare
from ambient_policy.evaluation.records import read_episodes
from ambient_policy.files import refuse_inside
from ambient_policy.saved import CHECKPOINTS, SavedPolicy, declared_step, open_policy, save_policy
from ambient_policy.terminal import Screen
from ambient_policy.workflows.evaluation import fingerprint
from ambient_policy.workflows.evaluation_folder import EPISODES, SUMMARY


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
    options = {name: getattr(settings, name) for name in OPTIONS}
    target = make_target(
        str(settings.format),
        **{name: value for name, value in options.items() if value is not None},
    )
    exported = outward.export(
        str(settings.store),
        target,
        settings.out,
        observations=settings.observations,
        cameras=settings.cameras,
    )
    console.print(str(exported))


def export_run(settings: ExportSettings, console: Console) -> None:
    """Write the policy of a run with its model card."""
    run = Path(str(settings.run))
    refuse_inside(Path(settings.out), run)
    saved = open_policy(run, settings.checkpoint)
    evaluation = read_evaluation(run, saved)
    license = settings.license or "unknown"
    card = write_card(
        saved,
        license=license,
        datasets=settings.datasets,
        evaluation=evaluation,
        declared=declared_before(run, saved),
    )
    save_policy(Path(settings.out), saved, card)
    words = "its evaluation is in the card" if evaluation else "the card has no evaluation of it"
    console.print(
        f"{settings.out}: the policy of step {saved.step} of {run}, licence {license}; {words}",
    )


def declared_before(run: Path, saved: SavedPolicy) -> int | None:
    """The step that was declared before training; None where the folder cannot tell it."""
    try:
        return declared_step(run / CHECKPOINTS, saved.settings)
    except CheckpointError:  # the best one, of an unfinished training or an exported policy
        return None


def read_evaluation(run: Path, saved: SavedPolicy) -> Evaluation | None:
    """The evaluation in the run's folder, where it is of these very weights."""
    file = run / "evaluation" / SUMMARY
    if not file.exists():
        return None
    summary = json.loads(file.read_text())
    if summary.get("weights") != fingerprint(saved.policy):
        return None
    episodes = read_episodes(file.with_name(EPISODES))
    arm, seed = saved.settings.label, saved.settings.seed
    table = compare({arm: {seed: episodes}}, extra=sorted(episodes[0].best))
    return Evaluation(summary, table.row(arm))


def export(settings: ExportSettings) -> None:
    """Write a store in a format of others, or a run's policy as a folder with its card."""
    write = export_store if settings.store is not None else export_run
    write(settings, Screen(soft_wrap=True))
