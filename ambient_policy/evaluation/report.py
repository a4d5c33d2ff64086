"""The report of a comparison: its table in three formats, and one self-contained page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from rich.console import Console

from ambient_policy.evaluation import figures, tables
from ambient_policy.evaluation.comparison import Table, compare
from ambient_policy.evaluation.page import ArmResult, Page
from ambient_policy.files import replace_file, to_json, write_text


@dataclass(frozen=True)
class Section:
    """A section of the page: tables have a name, figures are (description, data URI)."""

    title: str
    caption: str
    figures: tuple[tuple[str, str], ...] = ()
    grids: tuple[tuple[str, tables.Grid], ...] = ()


def write_report(page: Page, folder: Path, console: Console | None = None) -> Table:
    """Print the table; write ``table.md``, ``table.json`` and ``report.html`` into ``folder``.

    Every file is written whole or not at all; equal pages give equal files.

    Raises:
        SettingsError: for a baseline that is no arm.
        DataError: if starts differ between arms.
    """
    table = compare(
        {arm.name: arm.episodes for arm in page.arms},
        baseline=page.baseline,
        extra=page.extra,
        seed=page.seed,
        margin=page.margin,
    )
    tables.print_comparison(table, page.length_unit, console)
    write_text(folder / "table.md", tables.to_markdown(table, page.length_unit))
    write_text(folder / "table.json", to_json(table_record(page, table), indent=1) + "\n")
    write_text(folder / "report.html", to_html(page, table))
    write_figures(page, table, folder / "figures")
    return table


def write_figures(page: Page, table: Table, folder: Path) -> None:
    """Write the page's figures as files of their own, named by section."""
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections(page, table):
        name = section.title.lower().replace(" ", "-")
        for i, (_, uri) in enumerate(section.figures):
            header, payload = uri.split(",", 1)
            suffix = "svg" if "svg" in header else "png"
            with replace_file(folder / f"{name}-{i}.{suffix}") as partial:
                partial.write_bytes(base64.b64decode(payload))


def table_record(page: Page, table: Table) -> dict[str, Any]:
    """Return the table, and one record per arm and training seed under "runs"."""
    return {
        "title": page.title,
        "summary": page.summary,
        **table.to_json(),
        "runs": [run for arm in page.arms for run in _runs(arm)],
        "settings": page.settings,
        "commands": list(page.commands),
    }


def _runs(arm: ArmResult) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm.name,
            "seed": seed,
            "episodes": len(run),
            "successes": sum(episode.success for episode in run),
            "squared_jerk": _mean([e.squared_jerk for e in run]),
            "squared_jerk_successes": _mean([e.squared_jerk for e in run if e.success]),
            "squared_acceleration": _mean([e.squared_acceleration for e in run]),
            "inference_seconds": sum(e.inference_seconds for e in run),
            "settings": arm.settings.get(seed),
        }
        for seed, run in arm.episodes.items()
    ]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def to_html(page: Page, table: Table) -> str:
    """Return the page as one HTML text that loads nothing from elsewhere."""
    text = files("ambient_policy.evaluation").joinpath("report.html.j2").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(text).render(
        page=page,
        grids=[
            grid
            for grid in (
                tables.results(table, page.length_unit),
                tables.differences(table, page.length_unit),
            )
            if grid[1]
        ],
        colours=figures.arm_colours(page),
        verdicts=[verdict.sentence for verdict in table.verdicts],
        notes=table.notes,
        sections=sections(page, table),
        seeds=_seeds(page),
    )


def sections(page: Page, table: Table) -> list[Section]:
    """Return the sections of the page that have a figure or a table."""
    possible = [
        Section(
            "Success against jerk",
            "Up and to the left is better. Bars are 95 % intervals.",
            figures.success_against_jerk(page, table),
        ),
        Section(
            "Executed paths",
            f"The first {page.paths_shown} starts at most, the same for every arm, of each arm's "
            "first training seed. Ring: start; star: goal; cross: where a failure ended.",
            figures.executed_paths(page),
        ),
        Section(
            "Denoising of one chunk",
            "What the denoiser answers at each level the solver visits, from noise to plan: high "
            "noise decides where to go, low noise how smoothly. Grey: the final plan.",
            figures.denoising(page),
        ),
        Section(
            "What each source contributes",
            "Episodes, windows and hours are those that teach. The weight of a source is its "
            "probability before anyone asks for noise levels: at a level that not everyone may "
            "teach, the weights of those that may are scaled up to 1. A source teaches above σ_min "
            "or below σ_max (median [lowest, highest] where its episodes differ). The last column "
            "is its share of the draws, over all noise levels of training.",
            grids=tuple(
                (arm.name, tables.contributions(arm.contributions))
                for arm in page.arms
                if arm.contributions
            ),
        ),
        Section(
            "Who was drawn at which noise level",
            "Share of each source among the draws at a level. A source may teach above its "
            "sigma_min or below its sigma_max; triangles are the levels the solver visits: a "
            "threshold that moves between two triangles changes training, but no other call.",
            figures.draws(page),
        ),
        Section(
            "Training curves",
            "Thin: as logged; thick: moving mean. One line per training seed. Losses of arms "
            "that see different data are not comparable by their height.",
            figures.training_curves(page),
        ),
    ]
    return [section for section in possible if section.figures or section.grids]


def _seeds(page: Page) -> list[str]:
    return [
        f"{arm.name}: training seeds {', '.join(map(str, arm.episodes))}; episode seeds "
        f"{_ranges(sorted({e.seed for run in arm.episodes.values() for e in run}))}"
        for arm in page.arms
    ]


def _ranges(seeds: list[int]) -> str:
    """1, 2, 3, 7 -> "1–3, 7"."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ", ".join(str(low) if low == high else f"{low}–{high}" for low, high in runs)
