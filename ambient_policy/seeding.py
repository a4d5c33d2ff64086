"""Randomness as a function of (seed, purpose, step): nothing here remembers anything.

A resumed run therefore equals an unbroken one, and two purposes never share a stream: the key of a
stream is a hash of all of them, each with its length (BLAKE2, Saarinen, Aumasson 2015, RFC 7693).
"""

from collections.abc import Sequence
from hashlib import blake2b
from operator import index
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# of what (seed, purpose, step) stand for; 1: CRC-32 of the purpose, of which two could be equal.
# A run does not go on under another one: other episodes would be held out, other noise be kept
VERSION = 2


def generator(seed: int, purpose: str, *step: int) -> np.random.Generator:
    """Return numpy's Philox generator for this seed, purpose and step(s)."""
    return np.random.Generator(_stream(seed, purpose, *step))


def _stream(seed: int, purpose: str, *step: int) -> np.random.Philox:
    digest = blake2b(digest_size=16, key=b"ambient-policy %d" % VERSION)
    for part in (str(index(seed)), purpose, *(str(index(number)) for number in step)):
        text = part.encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return np.random.Philox(key=int.from_bytes(digest.digest(), "little"))


def integer(seed: int, purpose: str, *step: int) -> int:
    """Return a seed in [0, 2^63) for a library that takes only an integer."""
    return int(generator(seed, purpose, *step).integers(2**63))


def torch_generator(
    seed: int, purpose: str, *step: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a torch generator on a device for this seed, purpose and step(s)."""
    return torch.Generator(device).manual_seed(integer(seed, purpose, *step))


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that mixes all bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def normal_at(
    seed: int, purpose: str, rows: NDArray[np.int64], dimensions: int
) -> NDArray[np.float32]:
    """Return standard normal numbers by row, as if from an endless table that nobody stores.

    Args:
        rows: (...,) row numbers modulo 2^64; equal rows give equal numbers.
        dimensions: columns of the table.

    Returns:
        (..., dimensions) float32, by hashing (splitmix64) and the Box-Muller transform.
    """
    return _normal(np.array(integer(seed, purpose), np.uint64), rows, dimensions)


def normal_among(
    seed: int,
    purposes: Sequence[str],
    which: NDArray[np.int64],
    rows: NDArray[np.int64],
    dimensions: int,
) -> NDArray[np.float32]:
    """Return what ``normal_at`` returns, with each row from the table of its own purpose.

    Args:
        seed: seed of all tables.
        purposes: purpose of each table.
        which: (...,) index of each row's purpose.
        rows: (...,) row numbers modulo 2^64.
        dimensions: columns of the tables.

    Returns:
        (..., dimensions) float32.
    """
    keys = np.array([integer(seed, purpose) for purpose in purposes], np.uint64)
    return _normal(keys[which][..., None], rows, dimensions)


def _normal(
    key: NDArray[np.uint64], rows: NDArray[np.int64], dimensions: int
) -> NDArray[np.float32]:
    """Return rows (..., dimensions) of the tables with these keys (...,1)."""
    golden = 0x9E3779B97F4A7C15  # splitmix64's increment: neighbouring counters end far apart
    cells = rows[..., None].astype(np.uint64) * np.uint64(dimensions)
    counters: NDArray[Any] = np.uint64(2) * (cells + np.arange(dimensions, dtype=np.uint64))
    bits = [_mix(_mix((counters + np.uint64(i)) * np.uint64(golden) + key)) for i in (0, 1)]
    radius, angle = (  # two uniform numbers of 53 bits
        (b >> np.uint64(11)).astype(np.float64) * 2.0**-53 for b in bits
    )
    noise = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)
    return noise.astype(np.float32)
