"""One episode of an RLDS file: its numbers, frames and words out of flat lists, checked."""

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ambient_datasets.demonstrations import MAX_PIXELS
from ambient_datasets.faults import fault
from ambient_datasets.formats.rlds_layout import TEXT, Feature
from ambient_datasets.guards.numbers import to_float32
from ambient_datasets.guards.pictures import KINDS, read_picture
from ambient_datasets.guards.tf_example import BYTES, FLOATS, WHOLE, decode_example, values
from ambient_policy.errors import DataError

T = TypeVar("T")
COUNTER = "steps/is_first"  # one for each step, whatever shapes features.json declares
REMEDY = "Fetch the file again, or ask for other keys."


def list_of(feature: Feature) -> str:
    """The list in which TFRecord keeps numbers of a feature's type; "" if they are none."""
    if feature.dtype in ("float16", "bfloat16", "float32", "float64"):
        return FLOATS
    return WHOLE if feature.dtype.startswith(("int", "uint", "bool")) else ""


@dataclass(frozen=True, eq=False)
class Record:
    """The lists of one episode by their keys.

    Attributes:
        path: its shard.
        episode: its number among all that are read, for messages.
        lists: the features as ``decode_example`` gives them.
    """

    path: Path
    episode: int
    lists: Mapping[str, Any]

    def fault(self, key: str, what: str) -> DataError:
        """The error about a key of this episode."""
        return fault(self.path, key, what, REMEDY, self.episode)

    def items(self, key: str, kind: str) -> Sequence[Any]:
        """What lies under a key; refused if it is missing or a list of another kind."""
        if key not in self.lists:
            keys = ", ".join(sorted(self.lists)) or "nothing"
            raise self.fault(key, f"missing; the record holds {keys}")
        stored, items = values(self.lists[key])
        if stored != kind:
            raise self.fault(key, f"{stored or 'nothing'} lies under this key, not a {kind}")
        return items

    def steps(self, action: Feature) -> int:
        """T, counted where the record counts its steps, else by the length of the action."""
        if COUNTER in self.lists:
            key, steps = COUNTER, len(self.items(COUNTER, WHOLE))
        else:
            key, width = action.key, math.prod(action.shape)
            steps = len(self.items(key, list_of(action))) // width
        if steps == 0:
            raise self.fault(key, "the episode has no steps")
        return steps

    def numbers(self, feature: Feature, steps: int) -> NDArray[np.float32]:
        """(T,D) finite, the feature's further axes flattened."""
        kind, width = list_of(feature), math.prod(feature.shape)
        items = self.items(feature.key, kind)
        if len(items) != steps * width:
            raise self.fault(
                feature.key,
                f"{len(items)} numbers, but {steps} steps of shape {feature.shape} need "
                f"{steps * width}",
            )
        table = np.array(items, np.float32 if kind == FLOATS else np.int64).reshape(steps, width)
        return to_float32(self.path, feature.key, table, self.episode)

    def shape(self, feature: Feature) -> tuple[int, int, int]:
        """(H,W,3) [px] of a camera's frames: as declared, else as of its first frame."""
        height, width, colours = feature.shape
        if -1 in (height, width):
            data = next(iter(self.items(feature.key, BYTES)), b"")
            size = self._picture(feature.key, 0, partial(_picture_size, data))
            height, width = (
                f if d == -1 else d for f, d in zip(size, feature.shape[:2], strict=True)
            )
        if height * width > MAX_PIXELS:
            what = f"frames of {height} x {width} px, and at most {MAX_PIXELS} px are read"
            raise self.fault(feature.key, what)
        return height, width, colours

    def frames(
        self, feature: Feature, steps: int, shape: tuple[int, int, int]
    ) -> NDArray[np.uint8]:
        """(T,H,W,3) decoded frames of one camera."""
        items = self.items(feature.key, BYTES)
        if len(items) != steps:
            raise self.fault(feature.key, f"{len(items)} frames, but the episode has {steps} steps")
        frames = np.empty((steps, *shape), np.uint8)
        for step, data in enumerate(items):
            decode = partial(read_picture, data, shape)
            frames[step] = self._picture(feature.key, step, decode)
        return frames

    def _picture(self, key: str, step: int, decode: Callable[[], T]) -> T:
        try:
            return decode()
        except ValueError as error:
            raise self.fault(key, f"step {step}: frame: {error}") from error

    def check_keys(self, declared: Iterable[str]) -> None:
        """Refuse a record that holds what features.json does not tell of: words would be lost."""
        known = set(declared)
        for key in self.lists:
            parents = accumulate(key.split("/"), "{}/{}".format)
            if known.isdisjoint(parents):
                what = f"features.json does not tell of it; it tells of {', '.join(sorted(known))}"
                raise self.fault(key, what)

    def instruction(self, feature: Feature, steps: int) -> str | None:
        """The words of a feature, None where all are empty.

        Steps that differ give all their different words in order, with "; " between them.
        """
        texts = self._texts(feature, steps if feature.per_step else 1)
        try:
            words = [text.decode().strip() for text in texts]
        except UnicodeDecodeError as error:
            raise self.fault(feature.key, f"no UTF-8 text ({error})") from error
        return "; ".join(dict.fromkeys(word for word in words if word)) or None

    def single(self, feature: Feature) -> str | float:
        """The text, or the first number, of a feature that is one value for the whole episode."""
        if feature.kind == TEXT:
            return self.instruction(feature, 1) or ""
        return float(self.numbers(feature, 1)[0, 0])

    def _texts(self, feature: Feature, steps: int) -> Sequence[bytes]:
        """UTF-8 of each step, kept as such or as a row of byte values filled up with zeros."""
        if feature.kind != TEXT:
            table = self.numbers(feature, steps)
            if ((table < 0) | (table > 255)).any():
                raise self.fault(feature.key, "numbers beyond 0 to 255 are no bytes of a text")
            return [bytes(row[row > 0].astype(np.uint8)) for row in table]
        texts: Sequence[bytes] = self.items(feature.key, BYTES)
        if len(texts) != steps:
            raise self.fault(feature.key, f"{len(texts)} texts, and {steps} are needed")
        return texts


def _picture_size(data: bytes) -> tuple[int, int]:
    """(H,W) [px] from the header; no pixel is decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=KINDS) as picture:
            return picture.height, picture.width
    except Exception as error:  # decoders raise whatever they like
        raise ValueError(f"no {' or '.join(KINDS)} picture") from error


def decode_record(path: Path, number: int, episode: int, data: bytes) -> Record:
    """The record that these bytes, number so-and-so of their file, are.

    Raises:
        DataError: if they are no tf.train.Example.
    """
    try:
        return Record(path, episode, decode_example(data))
    except ValueError as error:
        what = f"its checksums fit, but it is no tf.train.Example ({error})"
        raise fault(path, f"record {number}", what, REMEDY, episode) from error
