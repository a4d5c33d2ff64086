"""What lies where a zarr store was expected, and which command reads it."""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

MOST = 1000  # names of a folder that are looked at

CONVERT = "ambient-policy convert recipe.format={} path={} out=data/NAME.zarr makes a store of it"
EVALUATE = "ambient-policy evaluate run={} reads it"
PICTURE = "give the store that it was drawn of"
# how a file begins -> what it is, and what to do with it
BEGINNINGS = {
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", CONVERT.format("robomimic", "{}")),
    b"\x89PNG": ("a PNG picture", PICTURE),
    b"\xff\xd8\xff": ("a JPEG picture", PICTURE),
    b"GIF8": ("a GIF picture", PICTURE),
    b"%PDF": ("a PDF", PICTURE),
    b"PAR1": ("a Parquet file", "of a LeRobot data set give the folder that holds meta/info.json"),
}


def recognize(path: Path) -> str:
    """What a path is that is no store, and what reads it; empty for what nobody here knows."""
    kinds = _of_folder(path) if path.is_dir() else _of_file(path)
    what, remedy = next(kinds, ("", ""))
    return what and f"{path}: this is {what}, no zarr store; {remedy.replace('{}', str(path))}."


def _of_file(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():  # a pipe would be waited for
        return
    with path.open("rb") as file:
        start = file.read(8)
    yield from (kind for beginning, kind in BEGINNINGS.items() if start.startswith(beginning))
    if ".tfrecord" in path.name:
        yield "a TFRecord file", "of an RLDS data set give the folder that holds features.json"


def _of_folder(path: Path) -> Iterator[tuple[str, str]]:
    """By the names of what lies in it, the most telling first."""

    def holds(*places: str) -> bool:
        return all((path / place).exists() for place in places)

    if holds("settings.json", "checkpoints"):
        yield "the folder of a run", EVALUATE
    if holds("config.json", "model.safetensors") or holds("config.json", "weights.safetensors"):
        yield "a checkpoint or an exported policy", EVALUATE
    if holds("meta/info.json"):
        yield "a LeRobot data set", CONVERT.format("lerobot", "{}")
    if holds("features.json") or holds("dataset_info.json"):
        yield "an RLDS data set", CONVERT.format("rlds", "{}")
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in islice(entries, MOST))
    yield from _by_names(names)


def _by_names(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    def first(fits: Callable[[str], bool]) -> str | None:
        return next((name for name in names if fits(name)), None)

    if first(lambda name: name.endswith((".hdf5", ".h5"))):
        yield "a folder of HDF5 files", CONVERT.format("robomimic", "{}")
    store = first(lambda name: name.endswith((".zarr", ".zarr.zip")))
    if store:
        yield "a folder that holds stores", f"name one of them, e.g. {{}}/{store}"
    if first(lambda name: name.startswith("seed-")):
        yield "a folder of runs", EVALUATE.format("{}/seed-N")
