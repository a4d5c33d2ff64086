"""The comparison, its table in three shapes, and a page with every section in one file."""

import io
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ambient_policy.errors import DataError, SettingsError
from ambient_policy.evaluation import figures, tables
from ambient_policy.evaluation.comparison import compare
from ambient_policy.evaluation.page import ArmResult, Contribution, Denoising, Draws, Page
from ambient_policy.evaluation.records import EpisodeRecord
from ambient_policy.evaluation.report import write_report

STARTS = range(100, 112)
SECTIONS = (
    "Success against jerk",
    "Executed paths",
    "Denoising of one chunk",
    "What each source contributes",
    "Who was drawn at which noise level",
    "Training curves",
)


def episode(seed: int, success: bool, jerk: float) -> EpisodeRecord:
    return EpisodeRecord(
        seed=seed,
        start=(0.5, 0.5),
        goal=(4.0, 4.0),
        outcome="success" if success else "failure",
        failure="" if success else "wall",
        duration=3.0,
        path_length=5.0,
        squared_jerk=jerk,
        squared_acceleration=jerk / 10,
        boundary_squared_jerk=2 * jerk,
        inside_squared_jerk=math.nan,
        inference_seconds=0.1,
        chunks=4,
        total_reward=1.0,
        best_reward=1.0,
        best={"coverage": 0.25},
    )


CONTRIBUTIONS = (
    Contribution("good", "trusted", 50, 5, 1000, 0.5, 0.75, 0.6, (0, 0, 0), (math.inf,) * 3),
    Contribution("bad", "bounds", 20, 0, 400, 0.2, 0.25, 0.4, (0.1, 0.27, 0.5), (0, 0, 0)),
)


def arm(name: str, failing: int, jerk: float, trainings: tuple[int, ...] = (0, 1)) -> ArmResult:
    rng = np.random.default_rng(len(name))
    return ArmResult(
        name=name,
        episodes={
            t: [episode(s, i >= failing, jerk + i + t) for i, s in enumerate(STARTS)]
            for t in trainings
        },
        paths={t: {s: np.cumsum(rng.random((9, 2)), axis=0) for s in STARTS} for t in trainings},
        training={t: [{"step": i, "loss": 1 / (i + 1)} for i in range(40)] for t in trainings},
        contributions=CONTRIBUTIONS,
        draws=Draws(np.geomspace(0.02, 60, 10), ("good", "bad"), rng.integers(0, 9, (10, 2))),
        thresholds={"good": (0.0, math.inf), "bad": (0.5, 0.05)},
        solver_levels=[0.025, 0.3, 7.0],
        denoising=Denoising(np.array([7.0, 0.3, 0.0]), rng.random((3, 8, 2)), (0.5, 0.5), (4, 4)),
    )


def page() -> Page:
    return Page(
        title="Maze <toy>",
        summary="Shows the layout & nothing else.",
        arms=[arm("cotrain", 4, 100.0), arm("ambient", 2, 40.0)],
        baseline="cotrain",
        walls=[(1, 1, 2, 2)],
        arena=(0, 0, 5, 5),
        extra=["coverage"],
        settings="steps: 40",
        commands=["make demo"],
    )


def write(page: Page, folder: Path) -> tuple[str, str]:
    terminal = io.StringIO()
    write_report(page, folder, Console(file=terminal, width=120))
    return (folder / "report.html").read_text(), terminal.getvalue()


@dataclass(frozen=True)
class Report:
    """A page that was written: where, its text, and what the terminal showed."""

    folder: Path
    html: str
    terminal: str


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("report")
    return Report(folder, *write(page(), folder))


def test_rows_hold_the_closed_forms() -> None:
    table = compare({a.name: a.episodes for a in page().arms}, baseline="cotrain")
    ambient = table.row("ambient")
    assert (ambient.episodes, ambient.successes, ambient.failures) == (24, 20, {"wall": 4})
    assert ambient.squared_jerk.estimate == pytest.approx(40 + 5.5 + 0.5)
    assert ambient.squared_jerk_successes.estimate == pytest.approx(40 + 6.5 + 0.5)
    assert math.isnan(ambient.inside_squared_jerk.estimate)
    difference = ambient.difference
    assert difference is not None and table.row("cotrain").difference is None
    assert difference.success.estimate == pytest.approx(2 / 12)
    assert difference.squared_jerk.estimate == pytest.approx(-60)
    assert difference.squared_jerk_ratio.estimate == pytest.approx(46 / 106)
    assert difference.squared_jerk_successes.estimate == pytest.approx(-60)
    assert difference.squared_jerk_successes_ratio.estimate == pytest.approx(48 / 108)


def test_the_page_has_every_section_and_loads_nothing(report: Report) -> None:
    html = report.html
    for title in SECTIONS:
        assert f"<h2>{title}</h2>" in html
    sources = re.findall(r"(?:src|href)\s*=\s*[\"']([^\"']*)", html)
    assert len(sources) == 6 and all(uri.startswith("data:image/") for uri in sources)
    assert not re.search(r"https?://|url\(|@import|<script|<link", html)
    for text in ("Maze &lt;toy&gt;", "layout &amp; nothing", "make demo", "steps: 40", "100–111"):
        assert text in html
    assert all(colour in html for colour in figures.arm_colours(page()).values())
    assert {p.name for p in report.folder.iterdir()} == {
        "report.html",
        "table.md",
        "table.json",
        "figures",
    }


def test_what_does_not_apply_is_left_out(tmp_path: Path) -> None:
    bare = [ArmResult(a.name, a.episodes) for a in page().arms]
    html, terminal = write(
        replace(page(), arms=bare, baseline=None, walls=(), arena=None, extra=()), tmp_path
    )
    assert "<h2>Success against jerk</h2>" in html
    assert not any(f"<h2>{title}</h2>" in html for title in SECTIONS[1:])
    assert "paired difference" not in html + terminal and "coverage" not in html


def test_every_arm_has_the_table_of_its_sources(report: Report) -> None:
    html = report.html
    header, lines = tables.contributions(CONTRIBUTIONS)
    assert lines[0] == [
        *("good", "trusted", "50 (+5 held out)", "1000", "0.500", "75.0", "0", "∞", "60.0")
    ]
    assert lines[1][6:8] == ["0.27 [0.1, 0.5]", "0"]
    assert lines[2] == ["all", "", "70 (+5 held out)", "1400", "0.700", "100", "", "", "100"]
    for cell in {*header, *lines[0], *lines[1], *lines[2]} - {""}:
        assert html.count(f">{cell}</t") >= 2, cell
    assert html.count("</h3>") == 2


def test_no_walls_no_arena_and_no_success(tmp_path: Path) -> None:
    html, _ = write(
        replace(page(), arms=[arm("lost", 12, 5.0, (3,))], baseline=None, walls=(), arena=None),
        tmp_path,
    )
    assert all(f"<h2>{title}</h2>" in html for title in SECTIONS)
    assert "intervals are over episodes only" in html


@pytest.mark.slow
def test_equal_pages_give_equal_files(report: Report, tmp_path: Path) -> None:
    write(page(), tmp_path)
    for name in ("report.html", "table.md", "table.json"):
        assert (tmp_path / name).read_bytes() == (report.folder / name).read_bytes()


def test_terminal_markdown_and_json_tell_the_same(report: Report) -> None:
    terminal = report.terminal
    record = json.loads((report.folder / "table.json").read_text())
    markdown = (report.folder / "table.md").read_text()
    assert record["rows"][1]["success"]["estimate"] == pytest.approx(20 / 24)
    assert record["rows"][1]["inside_squared_jerk"]["estimate"] is None
    assert "83.3" in terminal and "| 83.3 [" in markdown and "best coverage" in markdown
    assert "ambient − cotrain" in terminal and "| ambient − cotrain |" in markdown
    runs = record["runs"]
    assert [(r["arm"], r["seed"], r["episodes"], r["successes"]) for r in runs] == [
        ("cotrain", 0, 12, 8),
        ("cotrain", 1, 12, 8),
        ("ambient", 0, 12, 10),
        ("ambient", 1, 12, 10),
    ]
    assert runs[2]["squared_jerk"] == pytest.approx(45.5)


ARMS = ("cotrain", "ambient", "ambient_locality", "target_only", "reweighted", "exclusive")


def fits(text: io.StringIO, grids: tuple[tables.Grid, ...]) -> bool:
    """Whether 80 columns show every cell of the grids whole."""
    lines, words = text.getvalue().splitlines(), text.getvalue().split()
    cells = [cell for header, rows in grids for line in (header, *rows) for cell in line]
    whole = all(word in words for cell in cells for word in cell.split())
    return whole and "…" not in text.getvalue() and max(map(len, lines)) <= 80


@pytest.mark.parametrize("count", [1, 2, 6])
def test_a_comparison_fits_eighty_columns(count: int) -> None:
    arms = {name: arm(name, i, 1234567.0 * (i + 1)).episodes for i, name in enumerate(ARMS[:count])}
    table, text = compare(arms, baseline="cotrain", extra=["coverage"]), io.StringIO()
    tables.print_comparison(table, "m", Console(file=text, width=80))
    grids = (tables.results(table), tables.differences(table))
    assert fits(text, grids if count > 1 else grids[:1])


def test_contributions_fit_eighty_columns() -> None:
    name = "suboptimal_demonstrations_of_rrt"
    rows = (*CONTRIBUTIONS, replace(CONTRIBUTIONS[1], name=name, episodes=12345, held_out=1234))
    text = io.StringIO()
    tables.print_contributions(rows, Console(file=text, width=80))
    assert fits(text, (tables.contributions(rows),))


def test_numbers_are_short() -> None:
    values = (0, 1.2345, 12.345, 12345.6, -0.00123456, math.nan)
    assert [tables.number(x) for x in values] == ["0", "1.23", "12.3", "12346", "-0.00123", "–"]
    assert tables.number(1.5, sign=True) == "+1.50"


def test_arms_on_other_starts_are_refused() -> None:
    arms = {a.name: dict(a.episodes) for a in page().arms}
    arms["ambient"][1] = arms["ambient"][1][:-1]
    with pytest.raises(DataError, match="arm 'ambient', training seed 1 was run on 11 starts"):
        compare(arms)
    arms["ambient"] = {}
    with pytest.raises(DataError, match="episodes for every arm"):
        compare(arms)


def test_names_that_are_no_arm() -> None:
    arms = {a.name: a.episodes for a in page().arms}
    with pytest.raises(SettingsError, match="unknown baseline 'cotrian'.*Did you mean 'cotrain'"):
        compare(arms, baseline="cotrian")
    with pytest.raises(SettingsError, match="unknown arm 'x'; known: ambient, cotrain"):
        compare(arms).row("x")
