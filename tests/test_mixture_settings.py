"""A mixture as a list of stores: what its keys mean, and how its entries are called."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from ambient_policy.errors import SettingsError
from ambient_policy.settings import (
    ArmSettings,
    NormalizerSettings,
    RunSettings,
    SourceSettings,
    StatisticsOf,
    Teaches,
    Trust,
    from_json,
    to_json,
)
from ambient_policy.settings.mixture import add_mixture, name_entries


def names(*entries: str | SourceSettings) -> list[str]:
    return list(name_entries([SourceSettings(e) if isinstance(e, str) else e for e in entries]))


def test_an_entry_is_a_source_under_the_end_of_its_path() -> None:
    entry = SourceSettings("data/gcs.zarr", None, None, None, 2.0, val_ratio=0.05)
    assert add_mixture({}, [entry]) == {"gcs": entry}
    assert entry.sampling_weight == 2.0


def test_a_key_that_is_left_out_is_all_episodes_natural_weight_and_no_validation() -> None:
    (source,) = add_mixture({}, [SourceSettings("gcs.zarr")]).values()
    keys = "sampling_weight", "max_episodes", "max_train_episodes", "val_ratio"
    assert [getattr(source, key) for key in keys] == [None] * 4


def test_nothing_is_trusted_unless_it_is_said() -> None:
    assert SourceSettings("gcs.zarr").trust is None


def test_thresholds_of_an_entry_become_sigma() -> None:
    entry = SourceSettings("gcs.zarr", Trust.suboptimal, sigma_min={"step": 3}, sigma_max=0)
    run = RunSettings(mixture=[entry])
    assert run.sources["gcs"].sigma_min == pytest.approx(0.0739, abs=1e-4)
    assert run.sources["gcs"].trust is Trust.suboptimal


@pytest.mark.parametrize("trust", Trust)
def test_words_are_enough_in_python(trust: Trust) -> None:
    word: Any = trust.value
    assert SourceSettings("gcs.zarr", trust=word).trust is trust
    assert ArmSettings(*(cast("Any", w) for w in ("below", "above"))) == ArmSettings(
        Teaches.below, Teaches.above
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda word: SourceSettings("x", trust=word), "unknown trust 'trused'; known: rejected, "),
        (lambda word: ArmSettings(suboptimal=word), "unknown suboptimal 'trused'; known: above, a"),
        (lambda word: NormalizerSettings(kind=word), "unknown kind 'trused'; known: bounds, mome"),
        (lambda word: RunSettings(dimensions=word), "unknown dimensions 'trused'; known: same, un"),
    ],
)
def test_a_word_that_is_none_lists_those_that_are(make: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make("trused")


def test_names_are_the_end_of_the_path_without_suffixes() -> None:
    assert names("data/gcs.zarr", "../rrt.zarr.zip", "a.b") == ["gcs", "rrt", "a.b"]


def test_a_name_depends_on_its_own_entry_alone() -> None:
    """Kept noise and held-out episodes hang on it: another source must not change them."""
    assert names("a/x/d.zarr") == ["d"]
    with pytest.raises(SettingsError, match=r"d would name a/x/d.zarr and a/y/d.zarr. Give each"):
        names("a/x/d.zarr", "e.zarr", "a/y/d.zarr")
    apart = SourceSettings("a/y/d.zarr", name="y")
    assert names("a/x/d.zarr", apart) == ["d", "y"]
    assert names("/data/d.zarr", SourceSettings("/data/d.zarr", name="again")) == ["d", "again"]


def test_a_refusal_of_a_thousand_paths_that_end_alike_shows_a_few() -> None:
    with pytest.raises(SettingsError, match=r"demos would name data/0/demos.zarr and") as caught:
        names(*(f"data/{i}/demos.zarr" for i in range(1000)))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["a/d.zarr", "a/d.zarr"], "mixture: d would name a/d.zarr and a/d.zarr. Give each"),
        (["d.zarr", "d"], "mixture: d would name d.zarr and d. Give each a name of its own"),
        ([SourceSettings("x.zarr", name="d"), "a/d.zarr"], "d would name x.zarr and a/d.zarr"),
        (["d.zarr", ""], r"mixture\[1\].path is empty"),
    ],
)
def test_names_that_do_not_differ_are_refused(
    entries: list[str | SourceSettings], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        names(*entries)


def test_the_list_joins_the_sources_and_is_stored_among_them() -> None:
    sources = {"own": SourceSettings("own.zarr", sampling_weight=1.0)}
    joint = NormalizerSettings(statistics=StatisticsOf.joint)
    mixture = [SourceSettings("gcs.zarr", sampling_weight=3.0)]
    run = RunSettings(sources=dict(sources), mixture=mixture, normalizer=joint)
    assert list(run.sources) == ["own", "gcs"] and run.mixture == []
    assert from_json(to_json(run)) == run == replace(run)


def test_a_name_among_the_sources_already_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"mixture: gcs is among the sources already \(gcs\)"):
        RunSettings(sources={"gcs": SourceSettings("a")}, mixture=[SourceSettings("b/gcs.zarr")])
