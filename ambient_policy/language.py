"""Instructions as numbers: each text is a row of a table, and no text is a row of zeros.

The rows are one-hot, or a file holds them: embeddings of the texts by some language model.
"""

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ambient_policy.errors import DataError, SettingsError

Table = NDArray[np.float32]
MAX_WIDTH = 100_000  # of a row; real embeddings have some 1000


@dataclass(frozen=True)
class Vocabulary:
    """The instructions that a policy knows; the rows themselves lie among its weights.

    Attributes:
        texts: (L,) all different.
        width: V, length of a row.
        fingerprint: hash of the rows.
        said: the text that rollouts use; None uses no text.
    """

    texts: tuple[str, ...]
    width: int
    fingerprint: str
    said: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise SettingsError(f"vectors of {self.width} numbers under texts: 1 to {MAX_WIDTH}.")
        if self.said is not None and self.said not in self.texts:
            near = difflib.get_close_matches(self.said, self.texts, n=3, cutoff=0.0)
            raise SettingsError(
                f"task.instruction = '{self.said}' is none of the {len(self.texts)} texts that the "
                f"policy knows; the nearest are {', '.join(map(repr, near))}."
            )

    @classmethod
    def of(cls, texts: Sequence[str], rows: Table, said: str | None) -> "Vocabulary":
        """Make the vocabulary of texts and their rows (L + 1, V)."""
        digest = hashlib.sha256(rows.tobytes()).hexdigest()[:16]
        return cls(tuple(texts), rows.shape[1], digest, said)

    @property
    def silence(self) -> int:
        """The number of the last row, which is zero and stands for no text."""
        return len(self.texts)

    def number(self, text: str | None) -> int:
        """Return the row number of a text."""
        return self.silence if text is None else self.texts.index(text)


def one_hot(texts: Sequence[str]) -> Table:
    """Return one-hot rows (L + 1, L) float32; the last one is zero.

    Raises:
        SettingsError: when there is no text at all.
    """
    if not texts:
        raise SettingsError(
            "language.kind = one_hot, but no episode has an instruction. Set "
            "language.kind=none, or convert the demonstrations with instruction=..."
        )
    return np.vstack([np.eye(len(texts), dtype=np.float32), np.zeros(len(texts), np.float32)])


def read_embeddings(path: str) -> tuple[tuple[str, ...], Table]:
    """Read the texts (L,) of a safetensors file, sorted, and their rows (L + 1, V), the last zero.

    Args:
        path: a file that holds one vector (V,) of finite numbers under each text.

    Raises:
        DataError: naming the file, and the text whose vector is not like the others'.
    """
    try:
        vectors = load_file(path)
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise DataError(
            f"language.table = {path} cannot be read as safetensors: {error}. Save a float32 "
            "vector under each text with safetensors.numpy.save_file."
        ) from error
    texts = tuple(sorted(vectors))
    if not texts:
        raise DataError(f"language.table = {path} holds no text; save a vector under each text.")
    width = vectors[texts[0]].size
    for text in texts:
        vector = vectors[text]
        if vector.shape != (width,) or not width or not np.isfinite(vector).all():
            raise DataError(
                f"language.table = {Path(path)}: the vector of '{text}' has shape {vector.shape}"
                f"{'' if np.isfinite(vector).all() else ' and holds NaN or infinity'}; give every "
                f"text one vector of finite numbers, all as long as that of '{texts[0]}' ({width})."
            )
    rows = np.stack([vectors[text] for text in texts]).astype(np.float32)
    return texts, np.vstack([rows, np.zeros((1, width), np.float32)])
