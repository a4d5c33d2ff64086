"""Arms x training seeds on the same starts: ``python scripts/compare.py comparison=maze``.

Trains what is not trained, evaluates what is not evaluated, and writes the page; started again, it
continues where it stopped.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ambient_policy.errors import unknown
from ambient_policy.evaluation.records import EpisodeRecord
from ambient_policy.evaluation.report import table_record, write_figures, write_report
from ambient_policy.evaluation.worlds import find_spec
from ambient_policy.files import to_json, write_text
from ambient_policy.settings import RunSettings
from ambient_policy.workflows.evaluation import EvaluateSettings, episodes_of
from ambient_policy.workflows.pages import make_page
from ambient_policy.workflows.preparation import prepare
from ambient_policy.workflows.runs import CompareSettings, Run, train_all
from ambient_policy.workflows.settings import compose
from ambient_policy.workflows.training import refuse_other


def plan(settings: CompareSettings) -> list[Run]:
    """All runs, composed and built: whatever is wrong with any of them is said now."""
    if settings.baseline is not None and settings.baseline not in settings.arms:
        raise unknown("baseline", settings.baseline, settings.arms)
    runs = []
    for arm, changes in settings.arms.items():
        for seed in settings.seeds:
            names = [f"root={settings.root}", f"label={arm}", f"seed={seed}"]
            overrides = [*settings.overrides, *changes, *names]
            composed: RunSettings = compose("train", overrides)
            refuse_other(Path(composed.folder), composed)
            find_spec(composed.task.id)  # or all is trained before the first world is missed
            runs.append(Run(arm, seed, overrides, prepare(composed)))
    return runs


def evaluate_all(
    runs: Sequence[Run], settings: CompareSettings, console: Console
) -> dict[str, dict[int, list[EpisodeRecord]]]:
    """Arm -> training seed -> episodes, the same starts for all."""
    results: dict[str, dict[int, list[EpisodeRecord]]] = {}
    for one in runs:
        asked = EvaluateSettings(
            run=one.settings.folder,
            episodes=settings.episodes,
            first_seed=settings.first_seed,
            seed=settings.seed,
            threads=settings.workers,
        )
        results.setdefault(one.arm, {})[one.seed] = episodes_of(asked, console)
    return results


def compare(settings: CompareSettings) -> None:
    """Arms x training seeds on the same starts: train, evaluate, report."""
    console = Console()
    runs = plan(settings)
    console.rule(f"1/3 training {len(runs)} runs, {settings.workers} at a time")
    train_all(runs, settings.workers, console)
    console.rule(f"2/3 evaluating {settings.episodes} starts with each")
    results = evaluate_all(runs, settings, console)
    console.rule("3/3 report")
    command = shlex.join(["ambient-policy", *sys.argv[1:]])
    folder = Path(settings.root)
    page = make_page(settings, runs, results, command)
    table = write_report(page, folder, console)
    if settings.publish is not None:
        records = table_record(page, table)["runs"]
        write_text(Path(f"{settings.publish}.json"), to_json(records, indent=1) + "\n")
        write_figures(page, table, Path(settings.publish))
    console.print(f"wrote {folder}/report.html, table.md, table.json and figures/")
