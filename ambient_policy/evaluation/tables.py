"""A comparison as cells, for the terminal, for Markdown and for the page alike."""

import math
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table as TerminalTable

from ambient_policy.evaluation.comparison import Difference, Row, Table
from ambient_policy.evaluation.page import Contribution, Span
from ambient_policy.evaluation.statistics import Interval
from ambient_policy.markdown import markdown_table

Grid = tuple[list[str], list[list[str]]]  # header, rows


def number(value: float, sign: bool = False) -> str:
    """Three significant digits, or all before the point; "–" when not defined."""
    if not math.isfinite(value):
        return "–"
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:{'+' if sign else ''}.{min(digits, 6)}f}"


def interval(value: Interval, sign: bool = False) -> str:
    """Estimate [low, high]."""
    ends = f" [{number(value.low, sign)}, {number(value.high, sign)}]"
    return number(value.estimate, sign) + (ends if math.isfinite(value.low) else "")


def percent(value: Interval, sign: bool = False) -> str:
    """Estimate [low, high] in percent (or points), one decimal."""
    form = "+.1f" if sign else ".1f"
    ends = f" [{100 * value.low:{form}}, {100 * value.high:{form}}]"
    return f"{100 * value.estimate:{form}}" + (ends if math.isfinite(value.low) else "")


def results(table: Table, unit: str = "m") -> Grid:
    """Success and smoothness of every arm."""
    jerk, acceleration = f"[({unit}/s³)²]", f"[({unit}/s²)²]"
    columns: dict[str, Callable[[Row], str]] = {
        "arm": lambda row: row.arm,
        "episodes": lambda row: f"{row.episodes} ({row.trainings} × {_per_training(row)})",
        "success [%]": lambda row: percent(row.success),
        f"squared jerk, successes {jerk}": lambda row: interval(row.squared_jerk_successes),
        f"squared jerk, all {jerk}": lambda row: interval(row.squared_jerk),
        f"where chunks meet {jerk}": lambda row: interval(row.boundary_squared_jerk),
        f"inside chunks {jerk}": lambda row: interval(row.inside_squared_jerk),
        f"squared acceleration, successes {acceleration}": lambda row: interval(
            row.squared_acceleration_successes
        ),
        f"squared acceleration, all {acceleration}": lambda row: interval(row.squared_acceleration),
        "duration, successes [s]": lambda row: interval(row.duration_successes),
        **{f"best {key}": _extra(key) for key in (table.rows[0].extra if table.rows else ())},
        "failures": lambda row: ", ".join(f"{n} {why}" for why, n in row.failures.items()) or "–",
    }
    return list(columns), [[cell(row) for cell in columns.values()] for row in table.rows]


def differences(table: Table, unit: str = "m") -> Grid:
    """Every other arm against the baseline; no rows without one."""
    jerk = f"[({unit}/s³)²]"
    columns: dict[str, Callable[[Difference], str]] = {
        "success [points]": lambda d: percent(d.success, sign=True),
        f"squared jerk, both succeed {jerk}": lambda d: interval(d.squared_jerk_successes, True),
        "as ratio, both succeed": lambda d: interval(d.squared_jerk_successes_ratio),
        f"squared jerk, all {jerk}": lambda d: interval(d.squared_jerk, True),
        "as ratio, all": lambda d: interval(d.squared_jerk_ratio),
    }
    rows = [
        [f"{row.arm} − {table.baseline}", *(cell(row.difference) for cell in columns.values())]
        for row in table.rows
        if row.difference is not None
    ]
    return ["paired difference", *columns], rows


def contributions(rows: Sequence[Contribution]) -> Grid:
    """What each source of a mixture contributes, and at the end their sum."""
    columns: dict[str, Callable[[Contribution], str]] = {
        "source": lambda row: row.name,
        "trust": lambda row: row.trust,
        "episodes": lambda row: _episodes(row.episodes, row.held_out),
        "windows": lambda row: str(row.windows),
        "hours": lambda row: number(row.hours),
        "weight [%]": lambda row: number(100 * row.probability),
        "σ_min": lambda row: span(row.sigma_min),
        "σ_max": lambda row: span(row.sigma_max),
        "draws [%]": lambda row: number(100 * row.share),
    }
    lines = [[cell(row) for cell in columns.values()] for row in rows]
    return list(columns), [*lines, _total(rows)]


def _episodes(taught: int, held_out: int) -> str:
    return f"{taught} (+{held_out} held out)" if held_out else str(taught)


def span(values: Span) -> str:
    """The median, and where they differ the lowest and the highest."""
    low, median, high = (_level(value) for value in values)
    return median if low == high else f"{median} [{low}, {high}]"


def _level(sigma: float) -> str:
    return "∞" if math.isinf(sigma) else f"{sigma:.3g}"


def _total(rows: Sequence[Contribution]) -> list[str]:
    taught, held_out, windows, hours, weight, share = (
        sum(getattr(row, name) for row in rows)
        for name in ("episodes", "held_out", "windows", "hours", "probability", "share")
    )
    counts = _episodes(taught, held_out), str(windows), number(hours)
    return ["all", "", *counts, _hundred(weight), "", "", _hundred(share)]


def _hundred(share: float) -> str:
    """In percent; what sums to 1 but for rounding is 100."""
    return number(round(100 * share, 6))


def print_table(table: Table, unit: str = "m", console: Console | None = None) -> None:
    """Both grids and the notes, on the terminal."""
    console = console or Console()
    for header, rows in (results(table, unit), differences(table, unit)):
        if rows:
            console.print(_terminal(header, rows))
    for note in table.notes:
        console.print(f"- {note}", style="dim", markup=False)


def print_contributions(rows: Sequence[Contribution], console: Console) -> None:
    """The table of ``contributions`` on the terminal."""
    header, lines = contributions(rows)
    grid = TerminalTable(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for i, name in enumerate(header):
        words = (word for cell in (name, *(line[i] for line in lines)) for word in cell.split())
        side: JustifyMethod = "right" if i > 1 else "left"
        least = min(24, max(map(len, words)))  # no number and no usual name is broken
        grid.add_column(_verbatim(name), justify=side, overflow="fold", min_width=least)
    for line in lines:
        if line is lines[-1]:
            grid.add_section()
        grid.add_row(*(_verbatim(cell) for cell in line))
    console.print(grid)


def _terminal(header: list[str], rows: list[list[str]]) -> TerminalTable:
    """Arms side by side and quantities below each other: four arms fit where ten columns do not."""
    grid = TerminalTable(show_lines=False)
    for name in (header[0], *(row[0] for row in rows)):
        grid.add_column(_verbatim(name))
    for i, quantity in enumerate(header[1:], start=1):
        grid.add_row(_verbatim(quantity), *(_verbatim(row[i]) for row in rows))
    return grid


def _verbatim(text: str) -> str:
    """Not read as markup; intervals and units on a line of their own."""
    return text.replace(" [", "\n[").replace("[", r"\[")


def to_markdown(table: Table, unit: str = "m") -> str:
    """Both grids and the notes."""
    grids = [
        markdown_table(header, rows)
        for header, rows in (results(table, unit), differences(table, unit))
        if rows
    ]
    return "\n".join([*grids, "".join(f"- {note}\n" for note in table.notes)])


def _per_training(row: Row) -> int:
    return row.episodes // row.trainings


def _extra(key: str) -> Callable[[Row], str]:
    return lambda row: interval(row.extra[key])
