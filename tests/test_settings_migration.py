"""Settings of version 0.1 in today's words: the arms that its configs made, and anything else."""

from typing import Any

import pytest

from ambient_policy.settings import RunSettings, SourceSettings, Trust, from_json, to_json
from ambient_policy.settings.migration import is_of_0_1, migrate_settings

INF = float("inf")
TUNED = {"sigma_min": 0.27, "sigma_max": 0.05, "trusted_weight": 0.1}
TRUSTED, REJECTED = {"trust": "trusted"}, {"trust": "rejected"}


def bounds(sigma_min: float, sigma_max: float) -> dict[str, Any]:
    return {"trust": "bounds", "sigma_min": sigma_min, "sigma_max": sigma_max}


def record_of_0_1(**sources: dict[str, Any]) -> dict[str, Any]:
    """Settings as 0.1 wrote them, with its keys of sources and without an arm."""
    record = to_json(RunSettings(normalizer=RunSettings().normalizer))
    del record["arm"]
    plain = to_json(RunSettings(sources={"a": SourceSettings("x", Trust.trusted)}))["sources"]["a"]
    for new, old in (("sampling_weight", "weight"), ("val_ratio", "held_out")):
        del plain[new]
        plain[old] = None if old == "weight" else 0.0
    del plain["name"]
    record["sources"] = {name: {**plain, **said} for name, said in sources.items()}
    record["normalizer"]["statistics"] = "joint"
    return {**record, "tuned": dict(TUNED)}


ARMS = {
    "target_only": (TRUSTED, REJECTED, ("everything", "nothing", False)),
    "cotrain": (TRUSTED, TRUSTED, ("everything", "everything", False)),
    "ambient": (TRUSTED, bounds(0.27, 0.0), ("everything", "above", False)),
    "ambient_locality": (TRUSTED, bounds(0.27, 0.05), ("everything", "above_or_below", False)),
    "exclusive": (bounds(INF, 0.27), bounds(0.27, 0.0), ("below", "above", False)),
    "reweighted": (
        {**TRUSTED, "weight": 0.1},
        {**TRUSTED, "weight": 1.0},
        ("everything", "everything", True),
    ),
}


@pytest.mark.parametrize("label", ARMS)
def test_an_arm_of_0_1_becomes_the_arm_of_its_name(label: str) -> None:
    trusted, suboptimal, (first, second, reweight) = ARMS[label]
    record = record_of_0_1(trusted=trusted, suboptimal=suboptimal)
    assert is_of_0_1(record)
    settings = from_json(migrate_settings(record))
    arm = settings.arm
    assert (arm.trusted.value, arm.suboptimal.value, arm.reweight) == (first, second, reweight)
    for name, source in settings.sources.items():
        assert source.trust is not None and source.trust.value == name
        assert source.sigma_min is source.sigma_max is source.sampling_weight is None
    assert not is_of_0_1(to_json(settings))


def test_sources_of_other_names_keep_their_own_numbers() -> None:
    record = record_of_0_1(
        good=TRUSTED, noisy=bounds(0.3, 0.1), old={"trust": "annotated"}, off=REJECTED
    )
    settings = from_json(migrate_settings(record))
    trusts = {
        name: source.trust and source.trust.value for name, source in settings.sources.items()
    }
    assert trusts == {"good": "trusted", "noisy": "suboptimal", "old": None, "off": "rejected"}
    noisy = settings.sources["noisy"]
    assert (noisy.sigma_min, noisy.sigma_max) == (0.3, 0.1)
    assert settings.arm.suboptimal.value == "above_or_below"


def test_held_out_shares_and_weights_go_on() -> None:
    record = record_of_0_1(
        a={**TRUSTED, "weight": 2.0, "held_out": 0.1}, b={**TRUSTED, "weight": 1.0}
    )
    sources = from_json(migrate_settings(record)).sources
    assert (sources["a"].sampling_weight, sources["a"].val_ratio) == (2.0, 0.1)
    assert (sources["b"].sampling_weight, sources["b"].val_ratio) == (1.0, None)
