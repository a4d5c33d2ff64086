"""Settings that version 0.1 wrote, as today's: the same run in other words.

Version 0.1 wrote an arm into the trust of two sources, "trusted" and "suboptimal"; today these
words are roles, and the arm says what each role teaches.
"""

from typing import Any

Record = dict[str, Any]
Pair = tuple[float | None, float | None]
INFINITY = float("inf")
UNUSED = {"sigma_min": 0.0, "sigma_max": 0.0, "trusted_weight": 1.0}  # defaults of 0.1


def is_of_0_1(record: Record) -> bool:
    """Whether version 0.1 wrote these settings: they have no arm."""
    return "arm" not in record and "tuned" in record


def migrate_settings(record: Record) -> Record:
    """The same settings in today's words.

    Args:
        record: JSON values, as version 0.1 wrote them.
    """
    sources = {name: _source(source) for name, source in record["sources"].items()}
    shared = record["tuned"]
    tuned = {key: None if shared[key] == number else shared[key] for key, number in UNUSED.items()}
    arm = _arm(record["sources"], shared)
    if arm is None:  # each source keeps its own numbers
        doubtful = any(source["trust"] in (None, "suboptimal") for source in sources.values())
        word = "above_or_below" if doubtful else "above"
        arm = {"trusted": "everything", "suboptimal": word, "reweight": False}
        return {**record, "sources": sources, "tuned": tuned, "arm": arm}
    for name, source in sources.items():
        source |= {"trust": name, "sigma_min": None, "sigma_max": None}
        if arm["reweight"]:
            source["sampling_weight"] = None
    if arm["suboptimal"] in ("above", "above_or_below"):
        tuned |= {key: shared[key] for key in ("sigma_min", "sigma_max")}
    if arm["reweight"]:
        tuned["trusted_weight"] = shared["trusted_weight"]
    return {**record, "sources": sources, "tuned": tuned, "arm": arm}


def _source(source: Record) -> Record:
    """A source in today's keys; bounds become thresholds of a suboptimal source's own."""
    renamed = {"weight": "sampling_weight", "held_out": "val_ratio"}
    result = {renamed.get(key, key): value for key, value in source.items()}
    result["val_ratio"] = result["val_ratio"] or None
    result["trust"] = {"bounds": "suboptimal", "annotated": None}.get(
        source["trust"], source["trust"]
    )
    return result


def _arm(sources: Record, tuned: Record) -> Record | None:
    """The arm of 0.1 that made these sources; None where there are other sources than its two."""
    if sources.keys() != {"trusted", "suboptimal"}:
        return None
    low, high = tuned["sigma_min"], tuned["sigma_max"]
    teaches = {
        "trusted": {(0.0, INFINITY): "everything", (INFINITY, low): "below"},
        "suboptimal": {
            (low, high): "above_or_below",
            (low, 0.0): "above",
            (0.0, INFINITY): "everything",
            (INFINITY, 0.0): "nothing",
        },
    }
    arm = {role: teaches[role].get(_pair(sources[role])) for role in teaches}
    if None in arm.values():
        return None
    weights = [sources[role]["weight"] for role in ("trusted", "suboptimal")]
    return {**arm, "reweight": weights == [tuned["trusted_weight"], 1.0]}


def _pair(source: Record) -> Pair:
    """(sigma_min, sigma_max) of all its episodes."""
    known: dict[str, Pair] = {"trusted": (0.0, INFINITY), "rejected": (INFINITY, 0.0)}
    own = (source["sigma_min"], source["sigma_max"])
    return known.get(source["trust"], own if source["trust"] == "bounds" else (None, None))
