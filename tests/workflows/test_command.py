"""Settings as a command line, and a sweep's words as combinations: both as hydra reads them."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambient_policy.errors import SettingsError
from ambient_policy.jobs import JobSettings, Where
from ambient_policy.workflows.arms import CompareSettings
from ambient_policy.workflows.command import command_line
from ambient_policy.workflows.evaluation import RolloutSettings, SolverChange
from ambient_policy.workflows.settings import combinations, compose

PRINTED = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "))
# hydra strips the blanks around a text
TEXTS = st.one_of(PRINTED, st.sampled_from(["null", "1", "a b", '"', "\\", '\\"', "${x}", "a=[,"]))


def test_only_what_is_not_at_its_default_is_named() -> None:
    settings = CompareSettings(
        root="runs/x",
        arms={"ambient_0.1": ["arm=ambient", "tuned.sigma_min=0.1"]},
        evaluation=RolloutSettings(episodes=5, solver=SolverChange(steps=3)),
        jobs=JobSettings(Where.ray, workers=2),
    )
    assert shlex.split(command_line("compare", settings)) == [
        "ambient-policy",
        "compare",
        "root=runs/x",
        'arms={ambient_0.1: ["arm=ambient","tuned.sigma_min=0.1"]}',
        "evaluation.episodes=5",
        "evaluation.solver.steps=3",
        "jobs.where=ray",
        "jobs.workers=2",
    ]


@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=2))
def test_the_command_gives_the_same_settings(title: str, summary: str, changes: list[str]) -> None:
    settings = CompareSettings(
        title=title, summary=summary, arms={"one": changes, "two-2": []}, seeds=[3, 4]
    )
    words = shlex.split(command_line("compare", settings))
    assert compose("compare", words[2:]) == settings


def test_every_combination_in_the_order_of_the_words() -> None:
    words = ["arm=b,a", "seed=range(2)", "x=choice(1)", "+y={z: [1,2]}", "root=runs"]
    rest = ["x=1", "+y={z: [1,2]}", "root=runs"]
    assert combinations(words) == [
        [f"arm={arm}", f"seed={seed}", *rest] for arm in ("b", "a") for seed in (0, 1)
    ]
    assert combinations([]) == [[]]


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("seed", "'seed' is no key=value"),
        ("seed=range(0)", "the key has no value, so there is no run"),
        ("seed=interval(0,1)", r"Give the values of a sweep as key=a,b or key=range\(5\)"),
        ("arm=glob(*)", r"Give the values of a sweep as key=a,b or key=range\(5\)"),
        ("seed=[1,2", "cannot be read"),
    ],
)
def test_words_that_are_no_values(word: str, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        combinations([word])
