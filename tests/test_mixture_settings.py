"""The field's list of stores: what its four keys mean here, and how its entries are called."""

from dataclasses import replace

import pytest

from ambient_policy.errors import SettingsError
from ambient_policy.settings import (
    MixtureEntry,
    NormalizerSettings,
    RunSettings,
    SourceSettings,
    StatisticsOf,
    Trust,
    from_json,
    to_json,
)
from ambient_policy.settings.mixture import add_mixture, name_entries


def names(*entries: str | MixtureEntry) -> list[str]:
    return list(name_entries([MixtureEntry(e) if isinstance(e, str) else e for e in entries]))


def test_the_four_keys_are_path_and_weight_and_what_teaches_and_what_is_held_out() -> None:
    entry = MixtureEntry("data/gcs.zarr", 100, 2.0, 0.05)
    source = SourceSettings("data/gcs.zarr", weight=2.0, max_train_episodes=100, held_out=0.05)
    assert add_mixture({}, [entry]) == {"gcs": source}


def test_a_key_that_is_left_out_is_all_episodes_natural_weight_and_no_validation() -> None:
    assert add_mixture({}, [MixtureEntry("gcs.zarr")]) == {"gcs": SourceSettings("gcs.zarr")}


def test_nothing_is_trusted_unless_it_is_said() -> None:
    assert MixtureEntry("gcs.zarr").as_source().trust is None
    bounds = MixtureEntry("gcs.zarr", trust=Trust.bounds, sigma_min={"step": 3}, sigma_max=0)
    run = RunSettings(mixture=[bounds])
    assert run.sources["gcs"].sigma_min == pytest.approx(0.0739, abs=1e-4)
    assert run.sources["gcs"].trust is Trust.bounds


def test_names_are_the_end_of_the_path_without_suffixes() -> None:
    assert names("data/gcs.zarr", "../rrt.zarr.zip", "a.b") == ["gcs", "rrt", "a.b"]


def test_a_name_depends_on_its_own_entry_alone() -> None:
    """Kept noise and held-out episodes hang on it: another source must not change them."""
    assert names("a/x/d.zarr") == ["d"]
    with pytest.raises(SettingsError, match=r"d would name a/x/d.zarr and a/y/d.zarr. Give each"):
        names("a/x/d.zarr", "e.zarr", "a/y/d.zarr")
    apart = MixtureEntry("a/y/d.zarr", name="y")
    assert names("a/x/d.zarr", apart) == ["d", "y"]
    assert names("/data/d.zarr", MixtureEntry("/data/d.zarr", name="again")) == ["d", "again"]


def test_a_refusal_of_a_thousand_paths_that_end_alike_shows_a_few() -> None:
    with pytest.raises(SettingsError, match=r"demos would name data/0/demos.zarr and") as caught:
        names(*(f"data/{i}/demos.zarr" for i in range(1000)))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["a/d.zarr", "a/d.zarr"], "mixture: d would name a/d.zarr and a/d.zarr. Give each"),
        (["d.zarr", "d"], "mixture: d would name d.zarr and d. Give each a name of its own"),
        ([MixtureEntry("x.zarr", name="d"), "a/d.zarr"], "d would name x.zarr and a/d.zarr"),
        (["d.zarr", ""], r"mixture\[1\].path is empty"),
    ],
)
def test_names_that_do_not_differ_are_refused(
    entries: list[str | MixtureEntry], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        names(*entries)


def test_the_list_joins_the_sources_and_is_stored_among_them() -> None:
    sources = {"own": SourceSettings("own.zarr", weight=1.0)}
    joint = NormalizerSettings(statistics=StatisticsOf.joint)
    mixture = [MixtureEntry("gcs.zarr", None, 3.0)]
    run = RunSettings(sources=dict(sources), mixture=mixture, normalizer=joint)
    assert list(run.sources) == ["own", "gcs"] and run.mixture == []
    assert from_json(to_json(run)) == run == replace(run)


def test_a_name_among_the_sources_already_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"mixture: gcs is among the sources already \(gcs\)"):
        RunSettings(sources={"gcs": SourceSettings("a")}, mixture=[MixtureEntry("b/gcs.zarr")])
