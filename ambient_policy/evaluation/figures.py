"""The figures of the page as (description, data URI); nothing here changes global state."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ambient_policy.evaluation.comparison import Table
from ambient_policy.evaluation.page import ArmResult, Denoising, Draws, Page

# Okabe and Ito's colour-blind-safe set and two of Tol's; black stands for failures.
ARMS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999933", "#882255")
FAILURE = "#000000"
SOURCES = (
    *("#5E6C7B", "#E3CE7B", "#44AA99", "#AA4499", "#332288", "#88CCEE"),
    *("#CC6677", "#117733", "#D55E00", "#6699CC", "#882255", "#C4CAD1"),
)
# with more sources than this, a panel marks no thresholds: they would hide what they explain
MARKED = 6
WALL, FAINT = "#C9CFD6", "#9AA3AD"
Figures = tuple[tuple[str, str], ...]


def arm_colours(page: Page) -> dict[str, str]:
    """Return the colour of each arm, the same in every figure of the page."""
    return {arm.name: ARMS[i % len(ARMS)] for i, arm in enumerate(page.arms)}


def success_against_jerk(page: Page, table: Table) -> Figures:
    """Draw a point per arm with both intervals; jerk of successes, or of all if none succeeds."""
    figure = _figure(7.2, 4.6)
    axes = figure.add_subplot()
    drawn = 0
    for row in table.rows:
        jerk = row.squared_jerk_successes if row.successes else row.squared_jerk
        if not jerk.estimate > 0:
            continue
        colour = arm_colours(page)[row.arm]
        _interval_bars(axes, jerk, row.success, colour)
        axes.annotate(
            row.arm,
            (jerk.estimate, 100 * row.success.estimate),
            xytext=(9, 7),
            textcoords="offset points",
            color=colour,
        )
        drawn += 1
    unit = page.length_unit
    axes.set(
        title="Success against jerk",
        xlabel=f"mean squared jerk of successes [({unit}/s³)²], log",
        ylabel="success [%]",
        xscale="log",
        ylim=(max(-4, 100 * min(row.success.low for row in table.rows) - 6), 104),
    )
    axes.margins(x=0.2)
    axes.grid(alpha=0.25)
    return _encode("Success rate against mean squared jerk for each arm", figure) if drawn else ()


def _interval_bars(axes: Axes, x: Any, y: Any, colour: str) -> None:
    reach = [[[v.estimate - v.low], [v.high - v.estimate]] for v in (x, y)]
    widths = [np.nan_to_num(np.clip(r, 0, None)) for r in reach]
    axes.errorbar(
        [x.estimate],
        [100 * y.estimate],
        xerr=widths[0],
        yerr=100 * widths[1],
        fmt="o",
        color=colour,
        capsize=3,
        markersize=7,
    )


def executed_paths(page: Page) -> Figures:
    """Draw the paths of each arm at the same starts, one panel per arm."""
    arms = [arm for arm in page.arms if any(arm.paths.values())]
    if not arms:
        return ()
    figure, panels = _panels(len(arms), columns=2 if len(arms) in (2, 4) else 3, size=3.9)
    for axes, arm in zip(panels, arms, strict=True):
        _draw_world(axes, page)
        _draw_paths(axes, page, arm)
        axes.set_title(arm.name)
        _label_positions(axes, page)
        if page.arena is not None:
            axes.set(xlim=page.arena[::2], ylim=page.arena[1::2])
    _path_legend(figure, page)
    return _encode("Executed paths of each arm in the world", figure, png=True)


def _draw_paths(axes: Axes, page: Page, arm: ArmResult) -> None:
    seed = next(seed for seed, paths in arm.paths.items() if paths)
    records = {episode.seed: episode for episode in arm.episodes[seed]}
    for episode in sorted(set(arm.paths[seed]) & set(records))[: page.paths_shown]:
        path, record = arm.paths[seed][episode], records[episode]
        colour = arm_colours(page)[arm.name] if record.success else FAILURE
        style = "-" if record.success else "--"
        axes.plot(*path[:, :2].T, style, color=colour, linewidth=1, alpha=0.75, zorder=2)
        _mark_ends(axes, path[0], record.goal)
        if not record.success:
            axes.plot(*path[-1, :2], "x", color=FAILURE, markersize=6, zorder=4)


def _mark_ends(axes: Axes, start: Any, goal: Any) -> None:
    axes.plot(*start[:2], "o", color="#333", fillstyle="none", markersize=3.5, alpha=0.7, zorder=3)
    if goal is not None:
        axes.plot(*goal[:2], "*", color="#333", markersize=5, alpha=0.7, zorder=3, mew=0)


def _path_legend(figure: Figure, page: Page) -> None:
    marks = [
        Line2D([], [], marker="o", fillstyle="none", color="#333", linestyle="", label="start"),
        Line2D([], [], color="#333", label="success (arm's colour)"),
        Line2D([], [], linestyle="--", marker="x", color=FAILURE, label="failure"),
    ]
    if any(e.goal is not None for arm in page.arms for run in arm.episodes.values() for e in run):
        marks.insert(1, Line2D([], [], marker="*", color="#333", linestyle="", label="goal"))
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False)


def denoising(page: Page) -> Figures:
    """Draw one chunk at every level, for each arm that has one."""
    return tuple(
        figure
        for arm in page.arms
        if arm.denoising is not None
        for figure in _denoising_of(page, arm, arm.denoising)
    )


def _denoising_of(page: Page, arm: ArmResult, chunk: Denoising) -> Figures:
    figure, panels = _panels(len(chunk.sigma), columns=4, size=2.8)
    figure.suptitle(f"{arm.name}: one chunk, level by level")
    for axes, sigma, points in zip(panels, chunk.sigma, chunk.chunks, strict=True):
        _draw_world(axes, page)
        axes.plot(*chunk.chunks[-1].T, color=FAINT, linewidth=3, alpha=0.6, zorder=2)
        colour = arm_colours(page)[arm.name]
        axes.plot(*points.T, ".-", color=colour, linewidth=0.8, markersize=4, zorder=3)
        if chunk.start is not None:
            _mark_ends(axes, chunk.start, chunk.goal)
        axes.set_title(f"σ = {sigma:.3g}", fontsize=10)
        _label_positions(axes, page)
        _view(axes, page, points, chunk.chunks[-1])
    return _encode(f"Denoising of one chunk of arm {arm.name}, level by level", figure, png=True)


def draws(page: Page) -> Figures:
    """Draw the shares of the sources, one panel per arm with counts of its draws."""
    arms = [(arm, arm.draws) for arm in page.arms if arm.draws is not None]
    if not arms:
        return ()
    figure, panels = _panels(len(arms), columns=2, size=3.3, wide=1.65)
    for axes, (arm, counts) in zip(panels, arms, strict=True):
        _draw_shares(axes, arm.thresholds, arm.solver_levels, counts)
        axes.set(
            title=arm.name,
            xlabel="noise level σ [normalised action], log",
            ylabel="share of draws [%]",
            xscale="log",
            ylim=(0, 108),
        )
    return _encode("Share of each source among the draws at each noise level", figure)


def probabilities(
    chances: Draws, thresholds: Mapping[str, tuple[float, float]], visited: Sequence[float]
) -> Figure:
    """Draw P(source | sigma) as stacked bands, and above them the levels of a solver.

    Args:
        chances: probabilities in the place of counts.
        thresholds: source -> (sigma_min, sigma_max) [normalised action].
        visited: levels of the solver [normalised action].
    """
    figure = _figure(8.6, 5.2)
    axes = figure.add_subplot()
    _draw_shares(axes, thresholds, visited, chances)
    axes.set(
        title="Who teaches which noise level",
        xlabel="noise level σ [normalised action], log",
        ylabel="P(source | σ) [%]",
        xscale="log",
        ylim=(0, 108),
    )
    return figure


def _draw_shares(
    axes: Axes,
    thresholds: Mapping[str, tuple[float, float]],
    solver_levels: Sequence[float],
    draws: Draws,
) -> None:
    """Draw stacked bands, one step per level; a level without draws stays white."""
    order = np.argsort(draws.sigma)
    counts = np.asarray(draws.counts, np.float64)[order]
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, total, out=np.zeros_like(counts), where=total > 0)
    edges = _edges(np.asarray(draws.sigma, np.float64)[order])
    below = np.zeros(len(counts))
    for i, source in enumerate(draws.sources):
        above = below + shares[:, i]
        axes.stairs(above, edges, baseline=below, fill=True, color=_source(i), label=source)
        below = above
        if len(draws.sources) <= MARKED:
            _draw_thresholds(axes, source, thresholds.get(source))
    visited = [level for level in solver_levels if level > 0]
    if visited:
        height = [103.5] * len(visited)
        axes.plot(visited, height, "v", color="#333", markersize=5, label="solver levels")
    columns = 2 if len(draws.sources) <= MARKED else 4
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8, ncols=columns, frameon=False
    )


def _draw_thresholds(axes: Axes, source: str, pair: tuple[float, float] | None) -> None:
    for name, level, style in zip(("σ_min", "σ_max"), pair or (), ("--", ":"), strict=False):
        if 0 < level < math.inf:
            axes.axvline(level, color="white", linewidth=3)
            label = f"{name} of {source} = {level:.3g}"
            axes.axvline(level, color="#222", linestyle=style, linewidth=1.4, label=label)


def _source(i: int) -> str:
    return SOURCES[i % len(SOURCES)]


def _edges(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return bounds (L+1,) around levels (L,), half way on the logarithmic axis."""
    if len(levels) == 1:
        return np.array([levels[0] / 1.5, levels[0] * 1.5])
    logs = np.log(levels)
    inner = (logs[1:] + logs[:-1]) / 2
    ends = 2 * logs[[0, -1]] - inner[[0, -1]]
    return np.asarray(np.exp(np.concatenate([ends[:1], inner, ends[1:]])))


def training_curves(page: Page) -> Figures:
    """Draw loss against step, all arms and training seeds in one panel."""
    figure = _figure(8, 4)
    axes = figure.add_subplot()
    for arm in page.arms:
        for rows in arm.training.values():
            _draw_losses(axes, rows, arm_colours(page)[arm.name])
    if not axes.lines:
        return ()
    handles = [
        Line2D([], [], color=colour, label=name) for name, colour in arm_colours(page).items()
    ]
    axes.legend(handles=handles, frameon=False)
    axes.set(
        title="Training loss",
        xlabel="training step",
        ylabel="loss [normalised action²], log",
        yscale="log",
    )
    axes.grid(alpha=0.25)
    return _encode("Training loss against step for each arm", figure)


def _draw_losses(axes: Axes, rows: Sequence[Any], colour: str) -> None:
    known = [(row["step"], row["loss"]) for row in rows if row.get("loss") is not None]
    if not known:
        return
    steps, losses = np.array(known, np.float64).T
    axes.plot(steps, losses, color=colour, linewidth=0.6, alpha=0.3)
    width = max(1, len(losses) // 25)
    smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
    middle = (width - 1) // 2
    axes.plot(steps[middle : middle + len(smooth)], smooth, color=colour, linewidth=1.6)


def _draw_world(axes: Axes, page: Page) -> None:
    for x_low, y_low, x_high, y_high in page.walls:
        size = (x_high - x_low, y_high - y_low)
        axes.add_patch(Rectangle((x_low, y_low), *size, color=WALL, linewidth=0, zorder=1))
    axes.set_aspect("equal")


def _label_positions(axes: Axes, page: Page) -> None:
    axes.set_xlabel(f"x [{page.length_unit}]")
    axes.set_ylabel(f"y [{page.length_unit}]")


def _view(axes: Axes, page: Page, points: Any, plan: Any) -> None:
    """Show a square around the arena, or the plan (Tp,2), that holds all points (Tp,2)."""
    corners = plan if page.arena is None else np.reshape(page.arena, (2, 2))
    middle = (corners.max(axis=0) + corners.min(axis=0)) / 2
    reach = max(float(np.ptp(corners, axis=0).max()) / 2, 1e-9)
    reach = max(reach, 1.05 * float(np.abs(points - middle).max()))
    (x_low, y_low), (x_high, y_high) = middle - reach, middle + reach
    axes.set(xlim=(x_low, x_high), ylim=(y_low, y_high))


def _panels(count: int, columns: int, size: float, wide: float = 1.0) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = _figure(columns * size * wide, rows * size)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(count)]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _encode(description: str, figure: Figure, png: bool = False) -> Figures:
    """Encode a figure for the page: SVG, or PNG if thousands of points make an SVG heavy."""
    kind, mime = ("png", "image/png") if png else ("svg", "image/svg+xml")
    buffer = io.BytesIO()
    still = {"Software": None} if png else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.hashsalt": "ambient_policy"}):
        figure.savefig(buffer, format=kind, dpi=144, metadata=still)
    data = base64.b64encode(buffer.getvalue()).decode()
    return ((description, f"data:{mime};base64,{data}"),)
