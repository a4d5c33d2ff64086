"""The files of a policy folder: a checkpoint of a run, or a policy that can be given away.

    config.json            library, format, version, step, the PolicySpec, the settings of the
                           training, and the SHA-256 of each file
    model.safetensors      the averaged weights: what acts
    weights.safetensors    of a checkpoint: the weights that are trained
    optimizer.safetensors  of a checkpoint: AdamW's moments
    README.md              of an exported policy: the model card

There is no pickle in it. JSON has no infinity: in config.json it is the text "Infinity" (or
"-Infinity", "NaN"), which any parser reads; here it is read back as the number. A text that would
be read so stands behind "text:". The card has no checksum: it may be edited.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ambient_policy.errors import CheckpointError
from ambient_policy.plain_files import check_file, read_json

FORMAT = 2  # 1: exported by version 0.1, whose checkpoints had a file state.json
LIBRARY = "ambient-policy"
CONFIG, MODEL, CARD = "config.json", "model.safetensors", "README.md"
WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"
STATE_0_1 = "state.json"  # version 0.1 described a checkpoint in it
DIGESTS = "sha256"

# numbers that JSON has not, by the text they are written as
NUMBERS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
TEXT = "text:"

Record = dict[str, Any]
Tensors = Mapping[str, Tensor]
MAX_TENSORS = 2**36  # of one file [bytes]


def write_folder(folder: Path, record: Record, files: Mapping[str, Tensors]) -> None:
    """Fill a folder that nobody looks at yet.

    Args:
        folder: empty.
        record: of config.json; library, format, version and checksums are added.
        files: tensors by name, by the name of their file.

    Raises:
        OSError: when the disk refuses.
    """
    config = folder / CONFIG
    config.touch()
    for name, tensors in files.items():
        contiguous = {key: tensor.contiguous() for key, tensor in tensors.items()}
        try:
            save_file(contiguous, folder / name, metadata={"format": "pt"})
        except SafetensorError as error:  # what it makes of a full disk
            raise OSError(f"{folder / name}: {error}") from error
        shutil.copymode(config, folder / name)  # safetensors hides its files from other users
    write_config(folder, record)


def write_config(folder: Path, record: Record) -> None:
    """Write config.json of the files that lie in a folder."""
    (folder / CONFIG).write_text(config_text(folder, record), encoding="utf-8")


def config_text(folder: Path, record: Record) -> str:
    """The content of config.json: a record, and the checksums of the files that lie there."""
    files = [folder / name for name in (MODEL, WEIGHTS, OPTIMIZER)]
    described = to_strict(
        {
            "library": LIBRARY,
            "format": FORMAT,
            "version": version(LIBRARY),
            **record,
            DIGESTS: {file.name: digest_of(file) for file in files if file.exists()},
        }
    )
    described[DIGESTS][CONFIG] = _own_digest(described)
    return json.dumps(described, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_config(folder: Path) -> Record:
    """What config.json says, its infinities as numbers.

    Raises:
        CheckpointError: naming the file and the place in it that cannot be used.
    """
    path = folder / CONFIG
    if not path.exists() and (folder / STATE_0_1).exists():
        raise written_by_0_1(folder)
    try:
        record = read_json(path, folder)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}). Fetch the folder again; if it is the checkpoint of "
            "a run, delete it and train on from the one before."
        ) from error
    if not isinstance(record, dict) or record.get("library") != LIBRARY:
        library = record.get("library") if isinstance(record, dict) else type(record).__name__
        raise fault(path, "library", f"{library!r:.80} is there, '{LIBRARY}' is needed")
    if record.get("format") == 1:
        raise written_by_0_1(folder)
    if record.get("format") != FORMAT:
        raise fault(
            path, "format", f"{record.get('format')!r:.80} is there, this version reads {FORMAT}"
        )
    digests = record.get(DIGESTS)
    if not isinstance(digests, dict) or digests.get(CONFIG) != _own_digest(record):
        raise fault(path, DIGESTS, f"{CONFIG} is not as it was written; its checksum differs")
    restored: Record = from_strict(record)
    return restored


def read_tensors(folder: Path, config: Record, name: str) -> dict[str, Tensor]:
    """The tensors of one file, all finite.

    Args:
        folder: of the policy.
        config: of ``read_config``.
        name: of the file.

    Raises:
        CheckpointError: if the file is missing, changed, or holds NaN or infinity.
    """
    path = folder / name
    try:
        check_file(path, folder, MAX_TENSORS)
        if digest_of(path) != config[DIGESTS].get(name):
            raise ValueError(f"its SHA-256 is not the one in {CONFIG}: it changed since")
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from error
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path}: {key} holds numbers that are not finite. Use an earlier checkpoint, and "
                "look into the log of the training for where its loss left the road."
            )
    return tensors


def check_shapes(folder: Path, name: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Look at the header of a file of tensors, before anything of it fills the memory.

    Args:
        folder: of the policy.
        name: of the file.
        shapes: what it has to hold.

    Raises:
        CheckpointError: if it is no plain file in the folder, no file of tensors, or holds others.
    """
    path = folder / name
    try:
        check_file(path, folder, MAX_TENSORS)
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            stored = {key: tuple(file.get_slice(key).get_shape()) for key in names}
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error) from error
    if stored != shapes:
        raise CheckpointError(f"{path}: {_difference(stored, shapes)}")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: cannot be read: {error}. Fetch the folder again; if it is the checkpoint of a "
        "run, delete it and train on from the one before."
    )


def _difference(stored: Mapping[str, Any], shapes: Mapping[str, Any]) -> str:
    differing = sorted(k for k in {*stored, *shapes} if stored.get(k) != shapes.get(k))
    name = differing[0]
    return (
        f"these are not the weights of the policy that {CONFIG} describes: {len(differing)} tensors"
        f" differ, {name:.80} has the shape {stored.get(name)}, {shapes.get(name)} is needed. Fetch"
        " or export the policy again."
    )


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fault(path: Path, place: str, problem: str) -> CheckpointError:
    """The error for a place of config.json that cannot be used."""
    return CheckpointError(
        f"{path}: '{place}': {problem}. Use the version of {LIBRARY} that wrote it, or fetch or "
        "export the policy again."
    )


def written_by_0_1(path: Path) -> CheckpointError:
    """The error for what version 0.1 wrote; of a run's checkpoint it names the run."""
    path = path.parent.parent if path.parent.name == "checkpoints" else path
    return CheckpointError(
        f"{path} was written by version 0.1; bring it into today's format, its numbers untouched: "
        f"{LIBRARY} migrate path={path}"
    )


def _own_digest(record: Record) -> str:
    """The SHA-256 of config.json without this one checksum, however it is laid out."""
    digests = {name: digest for name, digest in record[DIGESTS].items() if name != CONFIG}
    text = json.dumps({**record, DIGESTS: digests}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def to_strict(value: Any) -> Any:
    """A JSON value with the numbers that JSON has not as texts."""
    if isinstance(value, dict):
        return {key: to_strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_strict(item) for item in value]
    if isinstance(value, str) and (value in NUMBERS or value.startswith(TEXT)):
        return TEXT + value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("inf", "Infinity").replace("nan", "NaN")
    return value


def from_strict(value: Any) -> Any:
    """The inverse of ``to_strict``."""
    if isinstance(value, dict):
        return {key: from_strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_strict(item) for item in value]
    if isinstance(value, str):
        return NUMBERS.get(value, value.removeprefix(TEXT))
    return value
