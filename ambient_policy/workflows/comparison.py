"""Compare arms: train and evaluate each with several seeds on the same starts, and write a page.

ambient-policy compare comparison=maze jobs.workers=4
"""

from pathlib import Path

from ambient_policy.evaluation.report import table_record, write_figures, write_report
from ambient_policy.files import to_json, write_text
from ambient_policy.terminal import Screen
from ambient_policy.workflows.arms import CompareSettings, grid_of
from ambient_policy.workflows.execution import execute
from ambient_policy.workflows.grid import check_grid
from ambient_policy.workflows.page import page_of


def compare(settings: CompareSettings) -> None:
    """Train arms with several seeds, evaluate all on the same starts, and write a page.

    All runs are composed and checked before the first starts. Started again, it goes on.
    """
    console, grid = Screen(), grid_of(settings)
    check_grid(grid)
    execute(grid, console)
    page, folder = page_of(settings, grid), Path(settings.root)
    table = write_report(page, folder, console)
    if settings.publish is not None:
        records = table_record(page, table)["runs"]
        write_text(Path(f"{settings.publish}.json"), to_json(records, indent=1) + "\n")
        write_figures(page, table, Path(settings.publish))
    console.print(f"wrote {folder}/report.html, table.md, table.json and figures/")
