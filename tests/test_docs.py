"""What README and docs say can be done, can be done: code runs, commands compose, paths exist."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ambient_policy.cli import parse
from ambient_policy.workflows import check_verb, is_composed
from ambient_policy.workflows.configs import OWN, add_own
from ambient_policy.workflows.settings import combinations, compose
from ambient_policy.workflows.template import new
from tests.samples import few
from tests.test_wheel import QUICK
from tests.workflows.conftest import write_store

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = {page: page.read_text() for page in PAGES}
COMMANDS = sorted(
    {
        line.strip()
        for text in TEXT.values()
        for line in text.replace("\\\n", " ").splitlines()
        if line.startswith("ambient-policy ")
    }
)
# of README's Python, what a test has no time for
SHORTER = {"ap.Run(": "ap.Run(**quick, ", "episodes=50": "episodes=2"}


def test_python_blocks_of_the_readme_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT[ROOT / "README.md"], re.DOTALL)
    assert blocks
    code = "\n".join([QUICK, *blocks])
    for text, shorter in SHORTER.items():
        code = code.replace(text, shorter)
    (tmp_path / "data").mkdir()
    write_store(tmp_path / "data" / "good.zarr")
    write_store(tmp_path / "data" / "jerky.zarr", episodes=5)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize("command", few(COMMANDS, 20))
def test_commands_compose(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(OWN, "")
    new(["mine"])
    line = parse(shlex.split(command, comments=True)[1:])
    if line.config_dir is not None:
        add_own(line.config_dir)
    verb, *overrides = line.words or ["configs"]
    check_verb(verb)
    if verb == "sweep":
        runs = combinations(overrides)
        assert len(runs) > 1
        compose(verb, runs[-1])
    elif is_composed(verb) and not line.help:
        compose(verb, overrides)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT[page])
    missing = [
        link for link in links if not link.startswith("http") and not (page.parent / link).exists()
    ]
    assert missing == []


def test_changelog_speaks_of_the_version_that_is_built() -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_results_page_says_what_its_records_say() -> None:
    records = json.loads((ROOT / "docs/results/maze.json").read_text())
    text = TEXT[ROOT / "docs/results/maze.md"]
    wanted = {"arm", "seed", "episodes", "successes", "squared_jerk", "settings"}
    assert all(wanted <= record.keys() for record in records)
    for arm in {record["arm"] for record in records}:
        mine = [record for record in records if record["arm"] == arm]
        success = sum(r["successes"] for r in mine) / sum(r["episodes"] for r in mine)
        jerk = sum(r["squared_jerk"] for r in mine) / len(mine)
        row = next(line for line in text.splitlines() if line.startswith(f"| {arm} | "))
        cells = [cell.strip() for cell in row.split("|")]
        assert float(cells[3].split()[0]) == pytest.approx(100 * success, abs=0.05)
        assert float(cells[5].split()[0]) == pytest.approx(jerk, rel=0.01)


def test_the_demos_numbers_are_those_of_its_record() -> None:
    runs = json.loads((ROOT / "docs/results/demo.json").read_text())
    rates: dict[str, list[int]] = {}
    for run in runs:
        rates.setdefault(run["arm"], []).append(round(100 * run["successes"] / run["episodes"]))
    page, readme = (ROOT / "docs/results/demo.md").read_text(), TEXT[ROOT / "README.md"]
    for arm, of_seed in rates.items():
        mean = sum(of_seed) / len(of_seed)
        assert f"| {arm} | {', '.join(map(str, of_seed))} |" in page
        assert f"{mean:.1f}" in page and f"{mean:.0f} %" in readme
    assert min(rates["ambient"]) > max(rates["cotrain"])
