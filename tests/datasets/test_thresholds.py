"""What each episode teaches: by its role, the arm's word on it, and the number that comes first."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from ambient_datasets.source import Source
from ambient_datasets.store import Annotation, Store, annotate_store, open_store
from ambient_datasets.thresholds import Thresholds, resolve_thresholds
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.settings import TunedSettings
from tests.datasets.mixtures import join_sources, make_source, of_run
from tests.samples import few

MakeStore = Callable[..., Store]
INF = np.inf
EVERY, NONE = (0.0, INF), (INF, 0.0)
TUNED = {"sigma_min": 0.4, "sigma_max": 0.05}
LOW, HIGH = [0.1, 0.2, 0.0], [0.0, 0.01, INF]  # the last episode is trusted


def annotated(store: Store, low: Sequence[float] = LOW, high: Sequence[float] = HIGH) -> Store:
    annotate_store(store.path, Annotation(np.array(low), np.array(high), "1234"))
    return open_store(store.path)


def resolve(
    sources: Sequence[Source], fingerprint: str = "1234", arm: Any = None, tuned: Any = None
) -> list[Thresholds]:
    run = of_run(sources, arm, tuned=TunedSettings(**(tuned or {})))
    return resolve_thresholds(run, sources, [fingerprint] * len(sources))


def pairs(thresholds: Thresholds) -> list[tuple[float, float]]:
    """(sigma_min, sigma_max) of each episode."""
    return list(zip(thresholds.sigma_min.tolist(), thresholds.sigma_max.tolist(), strict=True))


def pair(thresholds: Thresholds) -> tuple[float, float]:
    """(sigma_min, sigma_max) of all its episodes."""
    (both,) = set(pairs(thresholds))
    return both


TRUSTED = {"everything": EVERY, "nothing": NONE, "below": (INF, 0.4)}
SUBOPTIMAL = {
    "everything": EVERY,
    "nothing": NONE,
    "above": (0.4, 0.0),
    "above_or_below": (0.4, 0.05),
}


@pytest.mark.parametrize(("trusted", "suboptimal"), product(TRUSTED, SUBOPTIMAL))
def test_the_words_of_an_arm_are_thresholds(
    make_store: MakeStore, trusted: str, suboptimal: str
) -> None:
    sources = [make_source(role, make_store(role), trust=role) for role in
               ("suboptimal", "trusted", "rejected")]  # fmt: skip
    bad, good, out = resolve(
        sources, arm={"trusted": trusted, "suboptimal": suboptimal}, tuned=TUNED
    )
    assert pair(good) == TRUSTED[trusted] and good.trusted.all()
    assert pair(bad) == SUBOPTIMAL[suboptimal] and not bad.trusted.any()
    assert pair(out) == NONE and not out.trusted.any()  # whatever the arm


@pytest.mark.parametrize(
    ("arm", "text"),
    [
        ({"suboptimal": "below"}, "arm.suboptimal = below: only trusted episodes can teach below"),
        ({"trusted": "above"}, "arm.trusted = above: trusted episodes have no thresholds; choose"),
        ({"suboptimal": "abov"}, "unknown suboptimal 'abov'; known: above, above_or_below, below,"),
    ],
)
def test_words_that_a_role_cannot_have(make_store: MakeStore, arm: Any, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        resolve([make_source("a", make_store("a"), trust="trusted")], arm=arm)


def test_a_number_of_the_source_comes_before_its_annotation_and_that_before_tuned(
    make_store: MakeStore,
) -> None:
    noted = annotated(make_store("noted"))
    sources = [
        make_source("own", noted, trust="suboptimal", sigma_min=0.3, sigma_max=0.02),
        make_source("half", noted, trust="suboptimal", sigma_min=0.3),
        make_source("noted", noted, trust="suboptimal"),
        make_source("bare", make_store("bare"), trust="suboptimal"),
        make_source("part", make_store("part"), trust="suboptimal", sigma_max=0.02),
    ]
    own, half, note, bare, part = resolve(sources, tuned=TUNED)
    assert pair(own) == (0.3, 0.02)
    assert pairs(half) == [(0.3, 0.0), (0.3, 0.01), (0.3, INF)]
    assert pairs(note) == list(zip(LOW, HIGH, strict=True))
    assert pair(bare) == (0.4, 0.05) and pair(part) == (0.4, 0.02)
    assert [each.origin for each in (own, half, note, bare, part)] == [
        "source",
        "source and annotation",
        "annotation",
        "tuned",
        "tuned and source",
    ]
    assert {each.origin for each in resolve(sources, arm={"suboptimal": "everything"})} == {""}


def test_without_a_role_the_annotation_says_that_of_each_episode(make_store: MakeStore) -> None:
    source = make_source("a", annotated(make_store("a")))
    for word, expected in (
        ("everything", EVERY),
        ("nothing", NONE),
        ("above", (0.1, 0.0)),
        ("above_or_below", (0.1, 0.0)),
    ):
        (own,) = resolve([source], arm={"suboptimal": word})
        assert own.trusted.tolist() == [False, False, True]
        assert pairs(own)[0] == expected and pairs(own)[2] == EVERY
    (own,) = resolve([source], arm={"trusted": "below", "suboptimal": "above"})
    assert pairs(own) == [(0.1, 0.0), (0.2, 0.0), (INF, 0.1)]
    (own,) = resolve([source], arm={"trusted": "nothing", "suboptimal": "above_or_below"})
    assert pairs(own) == [(0.1, 0.0), (0.2, 0.01), NONE]


def test_a_role_comes_before_the_annotation(make_store: MakeStore) -> None:
    store = annotated(make_store("a"))
    for trust, expected in (("trusted", EVERY), ("rejected", NONE)):
        assert pair(resolve([make_source("a", store, trust=trust)], "another")[0]) == expected
    (bad,) = resolve([make_source("a", store, trust="suboptimal")])
    assert not bad.trusted.any()


def test_an_annotation_is_cut_to_the_first_episodes(make_store: MakeStore) -> None:
    source = make_source("a", annotated(make_store("a")), trust="suboptimal", max_episodes=2)
    assert (source.episodes, source.windows) == (2, 8)
    assert pairs(resolve([source])[0]) == [(0.1, 0.0), (0.2, 0.01)]


def test_nothing_is_trusted_silently(make_store: MakeStore) -> None:
    source = make_source("a", make_store("a"))
    text = r"a.zarr: source 'a': the store is not annotated .* Set sources.a.trust to trusted, "
    with pytest.raises(DataError, match=text + r"suboptimal or rejected, or annotate the store"):
        resolve([source], arm={"suboptimal": "everything"}, tuned=TUNED)


@pytest.mark.parametrize("trust", ["trusted", "rejected", None])
def test_numbers_that_nobody_reads_are_refused(make_store: MakeStore, trust: str | None) -> None:
    source = make_source("a", annotated(make_store("a")), trust=trust, sigma_max=0.1)
    text = f"'a': sigma_min and sigma_max are read only .* trust is {trust or 'null'}. Set trust ="
    with pytest.raises(SettingsError, match=text):
        resolve([source])


@pytest.mark.parametrize(
    ("word", "key", "numbers"),
    [
        ("above", "sigma_min", {}),
        ("above", "sigma_min", {"sigma_max": 0.1}),
        ("above_or_below", "sigma_min", {"sigma_max": 0.1}),
        ("above_or_below", "sigma_max", {"sigma_min": 0.3}),
    ],
)
def test_a_number_that_nobody_gave_is_refused(
    make_store: MakeStore, word: str, key: str, numbers: dict[str, float]
) -> None:
    good = make_source("good", make_store("good"), trust="trusted")
    bad = make_source("bad", make_store("bad"), trust="suboptimal")
    with pytest.raises(SettingsError) as caught:
        resolve([good, bad], arm={"suboptimal": word}, tuned=numbers)
    for part in (
        f"arm 'ambient' lets suboptimal episodes teach {word.replace('_', ' ')} their thresholds",
        f"nobody says {key} of source 'bad'",
        f"tuned.{key}=0.3",
        f"tuned.{key}={{step: 20}}",
        f"sources.bad.{key}=...",
        "ambient-policy annotate",
        "arm=cotrain",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("word", ["everything", "nothing"])
def test_an_arm_that_reads_no_number_needs_none(make_store: MakeStore, word: str) -> None:
    bad = make_source("bad", make_store("bad"), trust="suboptimal")
    assert pair(resolve([bad], arm={"suboptimal": word})[0]) == SUBOPTIMAL[word]


EXCLUSIVE = {"trusted": "below", "suboptimal": "above"}


def test_exclusive_goes_by_the_lowest_of_all_suboptimal_episodes(make_store: MakeStore) -> None:
    sources = [
        make_source("good", make_store("good"), trust="trusted"),
        make_source("own", make_store("own"), trust="suboptimal", sigma_min=0.7),
        make_source("noted", annotated(make_store("noted"), [0.5, 0.2, INF]), trust="suboptimal"),
        make_source("tuned", make_store("tuned"), trust="suboptimal"),
    ]
    good, own, noted, tuned = resolve(sources, arm=EXCLUSIVE, tuned=TUNED)
    assert pair(good) == (INF, 0.2)
    assert pair(own) == (0.7, 0.0) and pair(tuned) == (0.4, 0.0)
    assert pairs(noted) == [(0.5, 0.0), (0.2, 0.0), (INF, 0.0)]


@pytest.mark.parametrize("others", [(), ("rejected",), ("suboptimal",)])
def test_exclusive_without_a_number_is_refused(
    make_store: MakeStore, others: tuple[str, ...]
) -> None:
    sources = [make_source("good", make_store("good"), trust="trusted")]
    sources += [make_source("other", make_store("other"), trust=trust) for trust in others]
    text = r"lowest sigma_min of the suboptimal ones, and there is none\. Name .*tuned\.sigma_min="
    with pytest.raises(SettingsError, match=text):
        resolve(sources, arm=EXCLUSIVE, tuned={} if "suboptimal" in others else TUNED)


READS_MIN, READS_BOTH = {"suboptimal": "above"}, {"suboptimal": "above_or_below"}


@pytest.mark.parametrize(
    ("arm", "numbers", "refused"),
    [
        (READS_MIN, {}, True),
        (READS_MIN, {"sigma_max": 0.1}, True),
        (READS_MIN, {"sigma_min": 0.3}, False),
        (READS_BOTH, {"sigma_min": 0.3}, True),
        (READS_BOTH, {"sigma_min": 0.3, "sigma_max": 0.1}, False),
        (EXCLUSIVE, {}, True),
        ({"trusted": "below", "suboptimal": "nothing"}, {}, True),
        ({"suboptimal": "everything"}, {}, False),
        ({"suboptimal": "nothing"}, {}, False),
    ],
)
def test_an_annotation_under_another_normaliser_is_refused_where_it_is_read(
    make_store: MakeStore, arm: Any, numbers: dict[str, float], refused: bool
) -> None:
    source = make_source("a", annotated(make_store("a")), trust="suboptimal", **numbers)
    if not refused:
        assert len(resolve([source], "abcd", arm)) == 1
        return
    text = r"source 'a': annotated under the normaliser 1234, but training uses abcd;.*annotate aga"
    with pytest.raises(DataError, match=text):
        resolve([source], "abcd", arm)


def test_roles_of_an_annotation_hold_under_any_normaliser(make_store: MakeStore) -> None:
    """0 and infinity are the same in every unit."""
    (own,) = resolve(
        [make_source("a", annotated(make_store("a")))], "abcd", {"suboptimal": "nothing"}
    )
    assert pairs(own) == [NONE, NONE, EVERY]


@pytest.mark.parametrize("value", [-0.1, np.nan, "much", {"step": 1000}])
def test_a_threshold_that_is_no_level(make_store: MakeStore, value: Any) -> None:
    bad = make_source("bad", make_store("bad"), trust="suboptimal", sigma_min=value)
    with pytest.raises(SettingsError, match=r"sources\.bad\.sigma_min = .* is a number from 0 to"):
        resolve([bad])
    with pytest.raises(SettingsError, match=r"tuned\.sigma_max = .* is a number from 0 to"):
        resolve([], tuned={"sigma_max": value})


REWEIGHTED = {"suboptimal": "everything", "reweight": True}


@pytest.mark.parametrize("weight", few([0.1, 1.0, 7.0], 1))
@pytest.mark.parametrize("roles", few(["ts", "tss", "ttsr", "srrt", "tttsss"], 3))
def test_trusted_windows_weigh_as_much_whatever_the_number_of_sources(
    make_store: MakeStore, roles: str, weight: float
) -> None:
    words = {"t": "trusted", "s": "suboptimal", "r": "rejected"}
    sources = [
        make_source(f"s{i}", make_store(f"s{i}", (3 + i, 5, 2)), trust=words[role])
        for i, role in enumerate(roles)
    ]
    tuned = TunedSettings(trusted_weight=weight)
    mixture = join_sources(sources, arm=REWEIGHTED, tuned=tuned)
    mass = mixture.window_weight * mixture.episode_lengths
    assert mass[mixture.trusted].sum() / mass.sum() == pytest.approx(weight / (weight + 1))
    shares = [row.probability for row in mixture.describe()]
    assert sum(p for p, role in zip(shares, roles, strict=True) if role == "r") == 0
    for role in "ts":  # within a role, every window is as likely
        of_role = [roles[i] == role for i in mixture.source_of_episode]
        assert len(set(mixture.window_weight[of_role].round(12))) == 1


def test_weights_of_sources_count_within_their_role(make_store: MakeStore) -> None:
    sources = [
        make_source(name, make_store(name), trust=trust, sampling_weight=weight)
        for name, trust, weight in (
            ("a", "trusted", 3.0),
            ("b", "trusted", 1.0),
            ("c", "suboptimal", 9.0),
        )
    ]
    mixture = join_sources(sources, arm=REWEIGHTED, tuned=TunedSettings(trusted_weight=4.0))
    shares = [row.probability for row in mixture.describe()]
    assert shares == pytest.approx([0.6, 0.2, 0.2])


def test_episodes_with_roles_of_their_own_are_reweighted_one_by_one(make_store: MakeStore) -> None:
    source = make_source("a", annotated(make_store("a")))
    mixture = join_sources([source], arm=REWEIGHTED, tuned=TunedSettings(trusted_weight=0.25))
    mass = mixture.window_weight * mixture.episode_lengths
    assert mass == pytest.approx([3 / 8, 5 / 8, 0.25])
    assert mixture.roles == ("by episode",)


def test_reweighting_without_a_weight_is_refused() -> None:
    with pytest.raises(SettingsError, match="reweights, and tuned.trusted_weight is not said: "):
        of_run([], REWEIGHTED)
    with pytest.raises(SettingsError, match=r"tuned.trusted_weight = 0.0 must be positive"):
        of_run([], REWEIGHTED, tuned=TunedSettings(trusted_weight=0.0))
