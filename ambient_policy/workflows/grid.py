"""The plan of a sweep: which runs it has, whether all can start, and the command of their table."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from ambient_policy.errors import SettingsError
from ambient_policy.saved import find_policy
from ambient_policy.settings import RunSettings
from ambient_policy.training.loop import check_device
from ambient_policy.workflows.evaluation import EvaluateSettings
from ambient_policy.workflows.jobs import Job
from ambient_policy.workflows.preparation import prepare
from ambient_policy.workflows.settings import CONFIGS, compose
from ambient_policy.workflows.training import refuse_other

# hydra/launcher -> the distribution it comes with, and the extra that has it
PLUGINS = {
    "local": ("hydra-joblib-launcher", "sweep"),
    "slurm": ("hydra-submitit-launcher", "slurm"),
    "submitit_local": ("hydra-submitit-launcher", "slurm"),
    "ray": ("hydra-ray-launcher", "ray_sweep"),
    "ray_cluster": ("hydra-ray-launcher", "ray_sweep"),
}
EVALUATE = "evaluate."
SWEPT = "Values are swept over as key=a,b or 'key=range(5)'."
# of a run's overrides, those that say which run of its arm it is
NAMES = ("root", "label", "seed")


def split(overrides: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Those of the trainings, those of hydra, and those of the evaluation without ``evaluate.``."""
    hydra = [o for o in overrides if o.lstrip("+~").startswith(("hydra.", "hydra/"))]
    evaluation = [o.removeprefix(EVALUATE) for o in overrides if o.startswith(EVALUATE)]
    own = [o for o in overrides if o not in hydra and not o.startswith(EVALUATE)]
    return own, hydra, evaluation


def _one_line(text: str) -> str:
    return " ".join(text.split("Config search path")[0].split())


def installed(distribution: str) -> bool:
    """Whether pip has put it here."""
    return next(iter(distributions(name=distribution)), None) is not None


def chosen_launcher(hydra: Sequence[str]) -> str:
    """The name of the launcher."""
    chosen = [o.split("=")[1] for o in hydra if o.startswith("hydra/launcher=")]
    return chosen[-1] if chosen else "local"


def check_launcher(hydra: Sequence[str]) -> None:
    """Refuse a launcher that is not installed, or settings that it does not have."""
    name = chosen_launcher(hydra)
    plugin, extra = PLUGINS.get(name, ("hydra-core", ""))
    if not installed(plugin):
        raise SettingsError(
            f"hydra/launcher={name} needs the extra [{extra}]: pip install -e '.[{extra}]'. "
            "hydra/launcher=basic needs nothing and runs one after another."
        )
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            hydra_compose("sweep", list(hydra), return_hydra_config=True)
    except HydraException as error:
        raise SettingsError(_one_line(f"{error} {error.__cause__ or ''}")) from error


def combinations(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every run: each combination of the swept values, in hydra's order.

    Raises:
        SettingsError: for what hydra cannot read, or no combination at all.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        found = BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    except HydraException as error:
        raise SettingsError(f"{_one_line(str(error))}. {SWEPT}") from error
    if not found:
        raise SettingsError(
            f"{' '.join(overrides)}: a key has no value, so there is no run. {SWEPT}"
        )
    return found


def expand(overrides: Sequence[str]) -> list[Job]:
    """Every combination, composed."""
    return [Job(each, compose("train", each)) for each in combinations(overrides)]


def check_folders(jobs: Sequence[Job]) -> None:
    """Refuse two runs in one folder, folders of other runs, and starts that are not trained."""
    taken: dict[Path, Job] = {}
    for job in jobs:
        other = taken.setdefault(job.folder, job)
        if other is not job:
            differ = " | ".join(sorted(set(job.overrides) ^ set(other.overrides)))
            raise SettingsError(
                f"two runs would share {job.folder}; they differ in {differ or 'nothing'}. Put "
                "what is swept into the label, e.g. 'label=ambient_${tuned.sigma_min}'."
            )
        refuse_other(job.folder, job.settings)
        if job.settings.start_from is not None:
            find_policy(Path(job.settings.start_from))


def check_evaluation(jobs: Sequence[Job], evaluation: Sequence[str]) -> None:
    """Refuse what evaluate.py would refuse of the trained runs."""
    if any(o.startswith("run=") for o in evaluation):
        raise SettingsError("evaluate.run is set by the sweep, to each of its runs; leave it out.")
    asked = evaluation_of(jobs[0].folder, evaluation)
    for job in jobs:
        asked.solver.apply(job.settings.solver).calls(job.settings.noise)


def check_devices(jobs: Sequence[Job], hydra: Sequence[str], evaluation: Sequence[str]) -> None:
    """Refuse devices that are not here, where the trainings run here."""
    if chosen_launcher(hydra) in ("local", "basic", "submitit_local"):
        for device in sorted({job.settings.training.device for job in jobs}):
            check_device(device)
        asked = evaluation_of(jobs[0].folder, evaluation)
        check_device(asked.device or jobs[0].settings.training.device, "evaluate.device")


def check_parts(jobs: Sequence[Job]) -> None:
    """Build each kind of run once (seeds share their data): missing data are said now."""
    built: list[RunSettings] = []
    for job in jobs:
        kind = replace(job.settings, seed=0)
        if kind not in built:
            prepare(job.settings)
            built.append(kind)


def plan(overrides: Sequence[str]) -> list[Job]:
    """All runs of a sweep: whatever is wrong with any of them is said now."""
    own, hydra, evaluation = split(overrides)
    check_launcher(hydra)
    jobs = expand(own)
    check_folders(jobs)
    check_evaluation(jobs, evaluation)
    check_devices(jobs, hydra, evaluation)
    check_parts(jobs)
    return jobs


def evaluation_of(folder: Path, evaluation: Sequence[str]) -> EvaluateSettings:
    """What evaluate.py is asked for a run."""
    settings: EvaluateSettings = compose("evaluate", [f"run={folder}", *evaluation])
    return settings


def _quote(override: str) -> str:
    """As an element of a list in hydra's grammar."""
    return '"' + override.replace('"', '\\"') + '"'


def _listed(overrides: Sequence[str]) -> str:
    return f"[{','.join(map(_quote, overrides))}]"


def _own(overrides: Sequence[str], shared: Sequence[str] = ()) -> str:
    """What is left without those shared by all and those that name the run."""
    names = [o for o in overrides if o.split("=")[0] in NAMES]
    return _listed([o for o in overrides if o not in shared and o not in names])


def _compare_command(root: str, jobs: Sequence[Job], asked: EvaluateSettings) -> str:
    shared = [o for o in jobs[0].overrides if all(o in job.overrides for job in jobs)]
    arms = {job.settings.label: _own(job.overrides, shared) for job in jobs}
    seeds = sorted({job.settings.seed for job in jobs})
    words = [
        *("python", "scripts/compare.py", "~comparison", f"root={root}"),
        f"overrides={_own(shared)}",
        f"+arms={{{','.join(f'{label}: {changes}' for label, changes in arms.items())}}}",
        f"seeds=[{','.join(map(str, seeds))}]",
        *(f"{name}={getattr(asked, name)}" for name in ("episodes", "first_seed", "seed")),
    ]
    return shlex.join(words)


def compare_commands(jobs: Sequence[Job], evaluation: Sequence[str]) -> list[str]:
    """For each root, the command that evaluates what is not evaluated and tables all arms."""
    asked = evaluation_of(jobs[0].folder, evaluation)
    roots = dict.fromkeys(job.settings.root for job in jobs)
    return [
        _compare_command(root, [job for job in jobs if job.settings.root == root], asked)
        for root in roots
    ]
