"""Roll a run's policy out: ``python scripts/evaluate.py run=runs/maze/ambient/seed-0``.

Any registered Gymnasium environment with a Box action will do that shows a 1-D Box, or a Dict of a
1-D Box and pictures.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ambient_policy.evaluation.comparison import compare
from ambient_policy.evaluation.tables import print_table
from ambient_policy.settings import from_json
from ambient_policy.training.checkpoint import load_settings
from assemble import checkpoint_of
from compose import compose, run
from evaluating import EvaluateSettings, evaluate, load
from filming import film


def main(overrides: Sequence[str]) -> None:
    """Compose, roll out, print, film."""
    settings: EvaluateSettings = compose("evaluate", overrides)
    console, policy = Console(), load(settings)
    episodes = evaluate(settings, console)
    table = compare({settings.run: {0: episodes}}, extra=sorted(episodes[0].best))
    trained = from_json(load_settings(checkpoint_of(Path(settings.run))))
    print_table(table, trained.task.path_unit, console)
    folder = Path(settings.out or f"{settings.run}/evaluation")
    film(folder, policy.spec, settings.videos, settings.video_format, console)


if __name__ == "__main__":
    run(main)
