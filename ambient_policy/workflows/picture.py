"""An overview of a store as one figure, and a figure as a file that people open."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.figures import ARMS, SOURCES
from ambient_policy.files import replace_file
from ambient_policy.workflows.overview import Clip, Histogram, Overview

# of the figure, in inches; a cell holds one column: its course, and beside it its histogram
WIDTH, HEAD, HEADING, CELL, BOTTOM, FRAMES = 15.0, 1.0, 0.4, 1.6, 2.4, 1.9
ACROSS = 3
# points of a line; a longer episode is drawn at every n-th step
POINTS = 4000
TEXTS, LETTERS = 9, 110
SUFFIXES = (".png", ".pdf", ".svg")


class Sheet:
    """A figure that is filled from the top, measured in inches."""

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(WIDTH, height))
        FigureCanvasAgg(self.figure)
        self._height, self._top = height, 0.0

    def advance(self, height: float) -> None:
        """Go on below."""
        self._top += height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes whose upper left corner lies there, from the current place."""
        bottom = self._height - self._top - top - height
        box = left / WIDTH, bottom / self._height, width / WIDTH, height / self._height
        return self.figure.add_axes(box)

    def text(self, left: float, top: float, words: str, **style: Any) -> None:
        """Words whose upper left corner lies there."""
        y = 1 - (self._top + top) / self._height
        self.figure.text(left / WIDTH, y, words, va="top", **style)


def picture(store: Overview) -> Figure:
    """Columns over time beside their histograms, episode lengths, instructions, frames."""
    names = store.attributes
    rows = sum(math.ceil(len(part) / ACROSS) for part in (store.observations, store.actions))
    frames = FRAMES * len(store.clips[0].frames)
    sheet = Sheet(HEAD + 2 * HEADING + rows * CELL + BOTTOM + frames + 0.1)
    _draw_head(sheet, store)
    observed, acted = ([getattr(c, k) for c in store.clips] for k in ("observations", "actions"))
    for kind, columns, tables, labels, units in (
        ("observation", store.observations, observed, names.observation_names,
         names.observation_units),
        ("action", store.actions, acted, names.action_names, names.action_units),
    ):  # fmt: skip
        sheet.text(0.3, 0.12, _count(len(columns), f"{kind} column"), fontsize=12, weight="bold")
        sheet.advance(HEADING)
        for i, column in enumerate(columns):
            courses = [table[:, i] for table in tables]
            left = i % ACROSS * WIDTH / ACROSS
            _draw_column(sheet, left, f"{labels[i]} [{units[i]}]", courses, column, store)
            if i % ACROSS == ACROSS - 1 or i == len(columns) - 1:
                sheet.advance(CELL)
    _draw_lengths(sheet, store)
    _write_instructions(sheet, store)
    sheet.advance(BOTTOM)
    for camera in store.clips[0].frames:
        _draw_frames(sheet, camera, store)
        sheet.advance(FRAMES)
    return sheet.figure


def _draw_head(sheet: Sheet, store: Overview) -> None:
    attributes, steps = store.attributes, int(store.lengths.sum())
    hours = steps / attributes.control_rate / 3600
    sheet.text(0.3, 0.15, store.path, fontsize=14, weight="bold")
    sheet.text(
        0.3,
        0.48,
        f"task {attributes.task}; source {attributes.source}; "
        f"{_count(len(store.lengths), 'episode')}, {_count(steps, 'row')}, {hours:.3g} h at "
        f"{attributes.control_rate:g} Hz; "
        f"{'annotated' if store.annotated else 'not annotated'}",
        fontsize=10,
    )
    lines = [Line2D([], [], color=colour, label=_called(clip)) for clip, colour in _coloured(store)]
    sheet.figure.legend(
        handles=lines,
        loc="upper left",
        bbox_to_anchor=(0.25 / WIDTH, 1 - 0.68 / (sheet.figure.get_figheight())),
        ncols=max(1, len(lines)),
        frameon=False,
        fontsize=9,
        borderpad=0,
    )
    sheet.advance(HEAD)


def _coloured(store: Overview) -> list[tuple[Clip, str]]:
    return [(clip, ARMS[i % len(ARMS)]) for i, clip in enumerate(store.clips)]


def _called(clip: Clip) -> str:
    stride = _stride(len(clip.actions))
    return f"episode {clip.episode}" + (f" (1 of {stride} steps drawn)" if stride > 1 else "")


def _stride(steps: int) -> int:
    return math.ceil(steps / POINTS)


def _draw_column(
    sheet: Sheet,
    left: float,
    title: str,
    courses: Sequence[np.ndarray],
    column: Histogram,
    store: Overview,
) -> None:
    """The episodes' courses over time, and the values of all rows on the same vertical axis."""
    course, bars = sheet.axes(left + 0.65, 0.25, 3.1, 0.95), sheet.axes(left + 3.8, 0.25, 0.9, 0.95)
    for values, (_, colour) in zip(courses, _coloured(store), strict=True):
        every = slice(None, None, _stride(len(values)))
        seconds = np.arange(len(values)) / store.attributes.control_rate
        mark = "." if len(values) < 30 else ""
        course.plot(
            seconds[every], values[every], mark + "-", color=colour, linewidth=0.9, markersize=3
        )
    bars.stairs(column.counts, column.edges, orientation="horizontal", fill=True, color=SOURCES[0])
    low, high = column.edges[0], column.edges[-1]
    margin = 0.05 * (high - low)
    for axes in (course, bars):
        axes.set_ylim(low - margin, high + margin)
        axes.tick_params(labelsize=7, length=2)
        axes.grid(alpha=0.2)
    bars.set_xscale("log")
    bars.xaxis.set_minor_formatter(NullFormatter())  # narrow ranges would be labelled all over
    bars.set(xlim=(0.7, 1.3 * max(1, int(column.counts.max()))), yticklabels=[])
    course.set_title(title, fontsize=8.5, loc="left", pad=3)
    course.set_xlabel("time [s]", fontsize=7, labelpad=1)
    bars.set_xlabel("rows, log", fontsize=7, labelpad=1)


def _draw_lengths(sheet: Sheet, store: Overview) -> None:
    axes = sheet.axes(0.65, 0.45, 4.0, 1.4)
    seconds = store.lengths / store.attributes.control_rate
    low, high = seconds.min(), seconds.max()
    if low == high:  # one bar, in the middle
        axes.hist(seconds, bins=[0.99 * low, 1.01 * low], color=SOURCES[2])
        axes.set(xlim=(0, 2 * low))
        words = f"every episode lasts {_number(low)} s"
    else:
        axes.hist(seconds, bins=40, range=(low, high), color=SOURCES[2])
        median = _number(np.median(seconds))
        words = f"episode length: {_number(low)} to {_number(high)} s, median {median} s"
    axes.set_title(words, fontsize=9, loc="left")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("length [s]", fontsize=8)
    axes.set_ylabel("episodes", fontsize=8)
    axes.tick_params(labelsize=7)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _write_instructions(sheet: Sheet, store: Overview) -> None:
    known = [(text, count) for text, count in store.instructions if text is not None]
    without = sum(count for text, count in store.instructions if text is None)
    title = _count(len(known), "instruction") if known else "no instructions"
    sheet.text(5.4, 0.2, title, fontsize=9)
    lines = [f"{count} ×  {_short(text)}" for text, count in known[:TEXTS]]
    if len(known) > TEXTS:
        lines.append(f"and {len(known) - TEXTS} more")
    if known and without:
        lines.append(f"{without} ×  none")
    sheet.text(5.4, 0.45, "\n".join(lines), fontsize=8.5, parse_math=False, linespacing=1.4)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def _draw_frames(sheet: Sheet, camera: str, store: Overview) -> None:
    """First, middle and last frame of each episode, side by side."""
    width = (WIDTH - 0.6) / max(1, 3 * len(store.clips))
    size = min(width - 0.08, 1.5)
    for i, (clip, colour) in enumerate(_coloured(store)):
        for j, (step, frame) in enumerate(zip(clip.steps, clip.frames[camera], strict=True)):
            axes = sheet.axes(0.3 + (3 * i + j) * width, 0.3, size, size)
            axes.imshow(frame)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(color=colour, linewidth=1.5)
            seconds = step / store.attributes.control_rate
            title = f"{camera}, {seconds:.3g} s" if j else f"{camera}, episode {clip.episode}"
            axes.set_title(title, fontsize=8, loc="left", pad=3)


def check_picture(name: str, file: str) -> None:
    """Refuse a file whose ending names none of the kinds.

    Args:
        name: of the setting.
        file: its value.

    Raises:
        SettingsError: naming the setting and the kinds.
    """
    if Path(file).suffix not in SUFFIXES:
        raise SettingsError(f"{name} = {file}: give a file that ends in .png, .pdf or .svg.")


def write_picture(figure: Figure, file: Path, dpi: int) -> None:
    """Write a figure whole or not at all, as the kind that its ending names.

    Raises:
        CheckpointError: when the disk refuses.
    """
    with replace_file(file) as partial:
        figure.savefig(partial, format=file.suffix[1:], dpi=dpi)
