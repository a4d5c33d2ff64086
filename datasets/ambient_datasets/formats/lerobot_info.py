"""What ``meta/info.json`` of a LeRobotDataset says, checked, and the paths it leads to.

Its path templates come from a stranger: only ``{name}`` and ``{name:03d}`` are filled in, by hand
(``str.format`` would follow attributes and build strings of any length), and what they lead to must
lie in the data set's own folder.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambient_datasets.faults import fault
from ambient_datasets.guards.files import read_json
from ambient_policy.errors import DataError
from ambient_policy.plain_files import is_file, lies_in

INFO = "meta/info.json"
EPISODE_FILES = ("v2.0", "v2.1")  # one parquet for each episode; they differ in statistics alone
SHARED_FILES = ("v3.0",)  # several episodes in a file
PLACEHOLDER = re.compile(r"\{(\w+)(?::0(\d)d)?\}")
RESTORE = "Restore the file from a copy, or write the data set again."


@dataclass(frozen=True)
class Feature:
    """One entry of "features".

    Attributes:
        dtype: e.g. "float32", "image", "video".
        shape: of one step.
        names: of its numbers, flattened; empty where it gives none or of something else.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def width(self) -> int:
        """Numbers in one step."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Info:
    """A data set as its ``meta/info.json`` describes it.

    Attributes:
        root: its folder.
        version: "v2.0", "v2.1" or "v3.0".
        fps: rows per second [Hz].
        episodes, frames: how many it says it has.
        chunk_size: files in one folder.
        features: by their names.
        splits: such as "0:206", by their names.
        data_path, video_path: templates of relative paths; no video_path where there are none.
        robot: its type, as written.
    """

    root: Path
    version: str
    fps: float
    episodes: int
    frames: int
    chunk_size: int
    features: Mapping[str, Feature]
    splits: Mapping[str, Any]
    data_path: str
    video_path: str | None
    robot: str

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.root / INFO

    def data_file(self, **values: int) -> Path:
        """The file that data_path leads to.

        Raises:
            DataError: if the template is none or leads outside the folder.
        """
        return fill(self.root, "data_path", self.data_path, values)

    def video_file(self, **values: int | str) -> Path:
        """The file that video_path leads to; errors as of ``data_file``."""
        if self.video_path is None:
            raise fault(self.path, "video_path", "missing", "Take no camera of type 'video'.")
        return fill(self.root, "video_path", self.video_path, values)


def read_info(root: Path) -> Info:
    """Read and check ``meta/info.json``.

    Raises:
        DataError: if it is missing, no JSON, of another version, or any entry of it is wrong.
    """
    path = root / INFO
    if not is_file(path):
        raise DataError(
            f"{path}: there is no such file. Give the folder of a LeRobotDataset (v2.1 or v3.0), "
            "the one that holds meta/ and data/."
        )
    record = _mapping(path, "the whole", read_json(inside(root, INFO, "the folder")))
    version = record.get("codebase_version")
    known = (*EPISODE_FILES, *SHARED_FILES)
    if version not in known:
        raise fault(
            path,
            "codebase_version",
            f"{version!r:.80} given, one of {', '.join(known)} needed",
            "Convert the data set with lerobot's own scripts.",
        )
    video_path = record.get("video_path")
    return Info(
        root,
        str(version),
        _rate(path, record.get("fps")),
        whole(path, record, "total_episodes", 1),
        whole(path, record, "total_frames", 1),
        whole(path, {"chunks_size": 1000, **record}, "chunks_size", 1),
        _features(path, record.get("features")),
        _mapping(path, "splits", record.get("splits", {})),
        _text(path, "data_path", record.get("data_path")),
        None if video_path is None else _text(path, "video_path", video_path),
        str(record.get("robot_type")),
    )


def whole(path: Path, record: Mapping[str, Any], key: str, least: int) -> int:
    """A whole number of a record, from ``least`` on.

    Raises:
        DataError: if it is missing or anything else.
    """
    value = record.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
        entry = "missing" if key not in record else f"{value!r:.80} given"
        raise fault(path, key, f"{entry}, a whole number from {least} needed", RESTORE)
    return value


def fill(root: Path, key: str, template: str, values: Mapping[str, int | str]) -> Path:
    """The file that a path template leads to.

    Raises:
        DataError: for a placeholder that is not among the values, or a path outside the folder.
    """
    text = PLACEHOLDER.sub(lambda match: _placed(match, values), template)
    if "{" in text or "}" in text:
        raise fault(
            root / INFO,
            key,
            f"template '{template:.200}' has other placeholders than {', '.join(values)}",
            "Write the template with those, as lerobot does.",
        )
    return inside(root, text, f"{key} = '{template:.200}'")


def _placed(match: re.Match[str], values: Mapping[str, int | str]) -> str:
    name, digits = match.groups()
    value = values.get(name)
    if value is None or (digits and isinstance(value, str)):
        return match.group(0)
    return f"{value:0{digits}d}" if digits else str(value)


def inside(root: Path, relative: str, origin: str) -> Path:
    """``root / relative``, which must not leave the folder, not even through a link.

    Raises:
        DataError: for a path that leads elsewhere.
    """
    parts = relative.replace("\\", "/").split("/")
    plain = bool(relative) and ".." not in parts and "" not in parts and "\0" not in relative
    if not plain or not lies_in(root / relative, root):
        raise fault(
            root / INFO,
            origin,
            f"leads to '{relative:.200}', outside the data set's folder, and is not followed",
            "Write a path relative to the folder that stays in it.",
        )
    return root / relative


def _features(path: Path, value: Any) -> dict[str, Feature]:
    features = _mapping(path, "features", value)
    return {key: _feature(path, key, entry) for key, entry in features.items()}


def _feature(path: Path, key: str, value: Any) -> Feature:
    place = f"features['{key:.80}']"
    record = _mapping(path, place, value)
    dtype, shape = record.get("dtype"), record.get("shape")
    sound = isinstance(shape, list) and all(type(n) is int and 0 < n < 2**31 for n in shape)
    if not isinstance(dtype, str) or not sound or math.prod(shape or ()) >= 2**31:
        raise fault(
            path,
            place,
            f"dtype {dtype!r:.80} and shape {shape!r:.80} given, a name and a list of sizes needed",
            RESTORE,
        )
    return Feature(dtype, tuple(shape or ()), tuple(_names(record.get("names"))))


def _names(value: Any) -> list[str]:
    """Names in the shapes people write them: lists, nested ones, {group: list}, {name: column}."""
    if isinstance(value, dict) and value and all(type(n) is int for n in value.values()):
        return sorted(value, key=lambda name: int(value[name]))
    if isinstance(value, dict):
        return [name for group in value.values() for name in _names(group)]
    if isinstance(value, list):
        nested = (_names(name) if isinstance(name, list | dict) else [str(name)] for name in value)
        return [name for names in nested for name in names]
    return []


def _rate(path: Path, fps: Any) -> float:
    number = isinstance(fps, (int, float)) and not isinstance(fps, bool)
    if not number or not 0 < fps <= 1e6:
        raise fault(path, "fps", f"{fps!r:.80} given, a positive number needed", RESTORE)
    return float(fps)


def _mapping(path: Path, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise fault(path, key, f"{type(value).__name__} given, an object needed", RESTORE)
    return value


def _text(path: Path, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise fault(path, key, f"{value!r:.80} given, a path template needed", RESTORE)
    return value
