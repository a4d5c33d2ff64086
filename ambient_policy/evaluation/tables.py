"""The cells of tables for people: the same ones on the terminal, in Markdown and on the page."""

import math
from collections.abc import Callable, Sequence

from rich.console import Console

from ambient_policy.evaluation.comparison import Difference, Row, Table
from ambient_policy.evaluation.page import Contribution, Span
from ambient_policy.evaluation.statistics import Interval
from ambient_policy.markdown import markdown_table
from ambient_policy.terminal import Screen, print_table

Grid = tuple[list[str], list[list[str]]]  # header, rows


def number(value: float, sign: bool = False) -> str:
    """Write three significant digits, or all before the point; "–" for a number not defined."""
    if not math.isfinite(value):
        return "–"
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:{'+' if sign else ''}.{min(digits, 6)}f}"


def interval(value: Interval, sign: bool = False) -> str:
    """Write estimate [low, high]."""
    ends = f" [{number(value.low, sign)}, {number(value.high, sign)}]"
    return number(value.estimate, sign) + (ends if math.isfinite(value.low) else "")


def percent(value: Interval, sign: bool = False) -> str:
    """Write estimate [low, high] in percent (or points), one decimal."""
    form = "+.1f" if sign else ".1f"
    ends = f" [{100 * value.low:{form}}, {100 * value.high:{form}}]"
    return f"{100 * value.estimate:{form}}" + (ends if math.isfinite(value.low) else "")


def results(table: Table, unit: str = "m") -> Grid:
    """Make the grid of success and smoothness of every arm."""
    jerk, acceleration = f"[({unit}/s³)²]", f"[({unit}/s²)²]"
    columns: dict[str, Callable[[Row], str]] = {
        "arm": lambda row: row.arm,
        "episodes": lambda row: f"{row.episodes} ({row.trainings} × {_per_training(row)})",
        "success [%]": lambda row: f"{percent(row.success)} {row.letters}".rstrip(),
        f"squared jerk, successes {jerk}": lambda row: interval(row.squared_jerk_successes),
        f"squared jerk, all {jerk}": lambda row: interval(row.squared_jerk),
        f"where chunks meet {jerk}": lambda row: interval(row.boundary_squared_jerk),
        f"inside chunks {jerk}": lambda row: interval(row.inside_squared_jerk),
        f"squared acceleration, successes {acceleration}": lambda row: interval(
            row.squared_acceleration_successes
        ),
        f"squared acceleration, all {acceleration}": lambda row: interval(row.squared_acceleration),
        "progress in [0, 1]": lambda row: interval(row.progress),
        "SPARC, successes": lambda row: interval(row.sparc_successes),
        "LDLJ, successes": lambda row: interval(row.ldlj_successes),
        "duration, successes [s]": lambda row: interval(row.duration_successes),
        **{f"best {key}": _extra(key) for key in (table.rows[0].extra if table.rows else ())},
        "failures": lambda row: ", ".join(f"{n} {why}" for why, n in row.failures.items()) or "–",
    }
    return list(columns), [[cell(row) for cell in columns.values()] for row in table.rows]


def differences(table: Table, unit: str = "m") -> Grid:
    """Make the grid of every other arm against the baseline; no rows without a baseline."""
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
    """Make the grid of the contributions of each source, with their sum at the end."""
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


def _episodes(teaching: int, held_out: int) -> str:
    return f"{teaching} (+{held_out} held out)" if held_out else str(teaching)


def span(values: Span) -> str:
    """Write the median, and the lowest and the highest if they differ."""
    low, median, high = (_level(value) for value in values)
    return median if low == high else f"{median} [{low}, {high}]"


def _level(sigma: float) -> str:
    return "∞" if math.isinf(sigma) else f"{sigma:.3g}"


def _total(rows: Sequence[Contribution]) -> list[str]:
    teaching, held_out, windows, hours, weight, share = (
        sum(getattr(row, name) for row in rows)
        for name in ("episodes", "held_out", "windows", "hours", "probability", "share")
    )
    counts = _episodes(teaching, held_out), str(windows), number(hours)
    return ["all", "", *counts, _hundred(weight), "", "", _hundred(share)]


def _hundred(share: float) -> str:
    """Write a share in percent; a share of 1 but for rounding is 100."""
    return number(round(100 * share, 6))


def print_comparison(table: Table, unit: str = "m", console: Console | None = None) -> None:
    """Print verdicts, both grids and notes; each arm is a column: few arms suit a terminal."""
    console = console or Screen()
    for verdict in table.verdicts:
        console.print(verdict.sentence, style="bold", highlight=False)
    for header, rows in (results(table, unit), differences(table, unit)):
        if rows:
            titles, *lines = zip(header, *rows, strict=True)
            print_table(console, _lines(titles), [_lines(line) for line in lines])
    for note in table.notes:
        console.print(f"- {note}", style="dim")


def print_contributions(rows: Sequence[Contribution], console: Console) -> None:
    """Print the grid of ``contributions``."""
    header, lines = contributions(rows)
    print_table(console, _lines(header), [_lines(line) for line in lines], total=True)


def _lines(cells: Sequence[str]) -> list[str]:
    """Put intervals, units and what is in parentheses on lines of their own."""
    return [cell.replace(" [", "\n[").replace(" (", "\n(") for cell in cells]


def to_markdown(table: Table, unit: str = "m") -> str:
    """Write verdicts, both grids and the notes in Markdown."""
    grids = [
        markdown_table(header, rows)
        for header, rows in (results(table, unit), differences(table, unit))
        if rows
    ]
    verdicts = [f"**{verdict.sentence}**\n" for verdict in table.verdicts]
    return "\n".join([*verdicts, *grids, "".join(f"- {note}\n" for note in table.notes)])


def _per_training(row: Row) -> int:
    return row.episodes // row.trainings


def _extra(key: str) -> Callable[[Row], str]:
    return lambda row: interval(row.extra[key])
