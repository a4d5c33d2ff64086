"""What formats of others have no place for, written beside what they hold.

Both writers state the same record: task, source, control rate, names and units of all columns,
which key holds which, and whose thresholds there are. It holds no infinity: thresholds, which may
be infinite, stand in arrays or in a CSV that ``ambient-policy annotate`` reads.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np

from ambient_datasets.keys import Keys
from ambient_datasets.records import JSON, Annotation
from ambient_datasets.store import Store

SIDECAR, THRESHOLDS = "meta/ambient_policy.json", "meta/ambient_policy_thresholds.csv"
FORMAT = 1


def describe(store: Store, keys: Keys) -> dict[str, JSON]:
    """The record of a store that is written under these keys."""
    attributes = store.attributes
    return {
        "format": FORMAT,
        "written_by": f"ambient-policy {version('ambient-policy')}",
        "task": attributes.task,
        "source": attributes.source,
        "control_rate": attributes.control_rate,
        "observation_names": list(attributes.observation_names),
        "observation_units": list(attributes.observation_units),
        "action_names": list(attributes.action_names),
        "action_units": list(attributes.action_units),
        "observation_keys": {key: list(names) for key, names in keys.observations.items()},
        "action_key": keys.action,
        "cameras": dict(keys.cameras),
        "extra": attributes.extra,
    }


def declare(annotation: Annotation, folder: str) -> dict[str, JSON]:
    """What an annotation's numbers mean, and where they stand."""
    return {"sigma": "ve", "fingerprint": annotation.fingerprint, "folder": folder}


def write_thresholds(path: Path, annotation: Annotation) -> None:
    """A line "sigma_min,sigma_max" for each episode, ``inf`` for no bound; every digit is kept."""
    table = np.stack([annotation.sigma_min, annotation.sigma_max], axis=1)
    lines = (",".join(map(repr, pair)) for pair in table.tolist())
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
