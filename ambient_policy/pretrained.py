"""A trained policy as a folder that can be given away, without pickle.

    config.json         format, version, step, the PolicySpec, the settings it was trained with, and
                        the SHA-256 of the weights' file
    model.safetensors   the averaged weights
    README.md           the model card

JSON has no infinity: in config.json it is the text "Infinity" (or "-Infinity", "NaN"), which any
parser reads; here it is read back as the number.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ambient_policy.errors import AmbientPolicyError, CheckpointError, SettingsError
from ambient_policy.files import create_path
from ambient_policy.policy import Policy
from ambient_policy.settings import RunSettings, from_json, to_json
from ambient_policy.spec import PolicySpec

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
LIBRARY, DIGEST = "ambient-policy", "weights_sha256"
# numbers that JSON has not, by the text they are written as
NUMBERS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


@dataclass(frozen=True)
class Pretrained:
    """What such a folder holds.

    Attributes:
        policy: in evaluation mode, on the CPU.
        settings: of the run that trained it.
        step: optimiser steps after which these weights stood.
    """

    policy: Policy
    settings: RunSettings
    step: int


def is_pretrained(folder: Path) -> bool:
    """Whether a folder claims to be one of these (and not a run)."""
    return (folder / CONFIG).is_file()


def save_pretrained(folder: Path, pretrained: Pretrained, card: str) -> None:
    """Write the folder, whole or not at all.

    Args:
        folder: new.
        pretrained: what goes into it.
        card: the text of its README.md.

    Raises:
        SettingsError: if something lies there, or the settings hold a text that would be read
            back as a number.
        CheckpointError: when the disk refuses.
    """
    record = {
        "library": LIBRARY,
        "format": FORMAT,
        "version": version(LIBRARY),
        "step": pretrained.step,
        "policy": pretrained.policy.spec.to_json(),
        "settings": to_json(pretrained.settings),
    }
    told = _told(record)
    with create_path(folder) as made:
        made.mkdir()
        weights = {name: t.contiguous() for name, t in pretrained.policy.state_dict().items()}
        save_file(weights, made / WEIGHTS, metadata={"format": "pt"})
        told[DIGEST] = _digest(made / WEIGHTS)
        text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
        (made / CONFIG).write_text(f"{text}\n", encoding="utf-8")
        (made / CARD).write_text(card, encoding="utf-8")


def open_pretrained(folder: Path) -> Pretrained:
    """The inverse of ``save_pretrained``.

    Raises:
        CheckpointError: naming the file, and the place in it, that cannot be used.
    """
    path = folder / CONFIG
    record = _read(path)
    step = record.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise _fault(path, "step", f"{step!r:.80} given, a whole number needed")
    try:
        spec = PolicySpec.from_json(record["policy"])
        policy = Policy(spec)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("policy", *first["loc"])))
        raise _fault(path, place, f"{first['msg']} (given: {first['input']!r:.80})") from error
    except (KeyError, TypeError, ValueError, AmbientPolicyError) as error:
        raise _fault(path, "policy", f"{error}") from error
    try:
        settings = from_json(record["settings"])
    except (KeyError, TypeError, SettingsError) as error:
        raise _fault(path, "settings", f"{error}") from error
    _load_weights(policy, folder / WEIGHTS, record.get(DIGEST))
    return Pretrained(policy.eval(), settings, step)


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}). Name a folder that scripts/export.py "
            "run=... wrote, or fetch it again."
        ) from error
    if not isinstance(record, dict) or record.get("library") != LIBRARY:
        given = record.get("library") if isinstance(record, dict) else type(record).__name__
        raise _fault(path, "library", f"{given!r:.80} given, '{LIBRARY}' needed: no policy of ours")
    if record.get("format") != FORMAT:
        raise _fault(
            path, "format", f"{record.get('format')!r:.80} given, and this version reads {FORMAT}"
        )
    restored: dict[str, Any] = _restored(record)
    return restored


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_weights(policy: Policy, path: Path, digest: object) -> None:
    try:
        if _digest(path) != digest:
            raise ValueError(f"its SHA-256 is not the one told there ({digest!r:.80})")
        policy.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as the weights of the policy that {CONFIG} beside it "
            f"describes: {error}. Fetch both again, or export the run again (scripts/export.py)."
        ) from error


def _fault(path: Path, place: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: '{place}': {what}. Use the version of {LIBRARY} that wrote it, or export the run "
        "again (scripts/export.py)."
    )


def _told(value: Any) -> Any:
    """A JSON value with the numbers that JSON has not as texts."""
    if isinstance(value, dict):
        return {key: _told(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_told(item) for item in value]
    if isinstance(value, str) and value in NUMBERS:
        raise SettingsError(
            f"'{value}' is a name in these settings, and {CONFIG} would read it as a number. Train "
            "with another name."
        )
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("inf", "Infinity").replace("nan", "NaN")
    return value


def _restored(value: Any) -> Any:
    """The inverse of ``_told``."""
    if isinstance(value, dict):
        return {key: _restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return NUMBERS.get(value, value) if isinstance(value, str) else value
