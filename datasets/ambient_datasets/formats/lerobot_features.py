"""The features of a LeRobotDataset that are taken: numbers, frames, names of columns, a split."""

from collections.abc import Sequence

from ambient_datasets.demonstrations import MAX_PIXELS, PICTURES_ALONE, default_names
from ambient_datasets.faults import fault
from ambient_datasets.formats.lerobot_info import Feature, Info

FRAMES = ("image", "video")


def _feature(info: Info, key: str) -> Feature:
    if key not in info.features:
        known = ", ".join(info.features)
        observed = any(
            name.startswith("observation.") and feature.dtype not in FRAMES
            for name, feature in info.features.items()
        )
        alone = "" if observed else PICTURES_ALONE
        raise fault(
            info.path,
            f"features['{key}']",
            f"missing; there are {known:.500}",
            f"Name one of them.{alone}",
        )
    return info.features[key]


def check_numbers(info: Info, key: str) -> None:
    """Refuse a feature that holds no numbers."""
    dtype = _feature(info, key).dtype
    if dtype in FRAMES or dtype == "string":
        raise fault(
            info.path,
            f"features['{key}']",
            f"of type '{dtype}', and observations and actions are numbers",
            "Name it among the cameras." if dtype in FRAMES else "Name a feature of numbers.",
        )


def find_frames(info: Info, key: str) -> Feature:
    """The feature of a camera; refused where it holds no frames."""
    feature = _feature(info, key)
    if feature.dtype not in FRAMES:
        raise fault(
            info.path,
            f"features['{key}']",
            f"of type '{feature.dtype}', and a camera is of type {' or '.join(FRAMES)}",
            "Name a feature of frames.",
        )
    return feature


def frame_shape(info: Info, key: str) -> tuple[int, int, int]:
    """(H,W,3), whichever way round the feature gives it."""
    feature = find_frames(info, key)
    shape = feature.shape
    colours_first = bool(feature.names) and feature.names[0].startswith("channel")
    if len(shape) == 3 and (colours_first or (shape[0] == 3 and shape[2] != 3)):
        shape = (shape[1], shape[2], shape[0])
    if len(shape) != 3 or shape[2] != 3 or shape[0] * shape[1] > MAX_PIXELS:
        raise fault(
            info.path,
            f"features['{key}']",
            f"frames of shape {feature.shape}; three colours and at most {MAX_PIXELS} pixels are "
            "read",
            "Name another camera.",
        )
    return shape[0], shape[1], 3


def name_columns(info: Info, keys: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns: the file's where it names each of them, else the key and a number.

    Where two keys use one name, all are led by their key.
    """
    names = {key: _own_names(key, info.features[key]) for key in keys}
    flat = [name for key in keys for name in names[key]]
    if len(set(flat)) < len(flat):
        return tuple(f"{key}.{name}" for key in keys for name in names[key])
    return tuple(flat)


def _own_names(key: str, feature: Feature) -> tuple[str, ...]:
    names = feature.names
    if len(feature.shape) <= 1 and len(names) == feature.width == len(set(names)):
        return names
    return default_names([key], [feature.width])


def find_split(info: Info, name: str | None) -> tuple[int, int]:
    """The episodes from and to before."""
    if name is None:
        return 0, info.episodes
    if name not in info.splits:
        known = ", ".join(map(str, info.splits)) or "none"
        raise fault(info.path, f"splits['{name}']", f"missing; there are {known:.300}", "Name one.")
    first, colon, stop = str(info.splits[name]).partition(":")
    sound = colon and all(len(n) < 16 and n.isascii() and n.isdigit() for n in (first, stop))
    if not sound or not int(first) < int(stop) <= info.episodes:
        raise fault(
            info.path,
            f"splits['{name}']",
            f"{info.splits[name]!r:.80} given, 'first:stop' within 0:{info.episodes} needed",
            "Correct it, or convert everything (no split).",
        )
    return int(first), int(stop)
