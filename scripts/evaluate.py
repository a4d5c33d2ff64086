"""Roll a run's policy out: ``python scripts/evaluate.py run=runs/maze/ambient/seed-0``.

``run=`` may also name a policy that scripts/export.py wrote.

Any registered Gymnasium environment with a Box action will do that shows a 1-D Box, or a Dict of a
1-D Box and pictures.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ambient_policy.evaluation.comparison import compare
from ambient_policy.evaluation.tables import print_table
from compose import compose, run
from evaluating import EvaluateSettings, evaluate, load
from filming import film


def main(overrides: Sequence[str]) -> None:
    """Compose, roll out, print, film."""
    settings: EvaluateSettings = compose("evaluate", overrides)
    console, loaded = Console(), load(settings)
    episodes = evaluate(settings, console)
    table = compare({settings.run: {0: episodes}}, extra=sorted(episodes[0].best))
    print_table(table, loaded.settings.task.path_unit, console)
    folder = Path(settings.out or f"{settings.run}/evaluation")
    film(folder, loaded.policy.spec, settings.videos, settings.video_format, console)


if __name__ == "__main__":
    run(main)
