"""Writes small LeRobotDatasets, field by field after their published layout."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

FPS = 10
SIZE = (16, 32)  # (H,W) [px]; unequal, so that none stands for the other
SHAPE = (*SIZE, 3)
TASKS = ("push the T", "räume auf 片付け")


@dataclass(frozen=True)
class Recording:
    """What a written data set holds.

    Attributes:
        root: its folder.
        states, actions: (T,3) and (T,2) of each episode.
        pixels: (T,H,W,3) of each episode.
    """

    root: Path
    states: list[NDArray[np.float32]]
    actions: list[NDArray[np.float32]]
    pixels: list[NDArray[np.uint8]]


@dataclass
class Options:
    """How it is written: steps of each episode, episodes in each v3.0 file, type of its camera."""

    lengths: Sequence[int] = (5, 1, 7)
    per_file: int = 2
    camera: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)


def write_lerobot(root: Path, version: str, **options: Any) -> Recording:
    """A data set of version v2.1 or v3.0; ``columns`` and ``info`` replace what is written."""
    chosen = Options(**options)
    rng = np.random.default_rng(0)
    states = [rng.normal(size=(n, 3)).astype(np.float32) for n in chosen.lengths]
    actions = [rng.normal(size=(n, 2)).astype(np.float32) for n in chosen.lengths]
    pixels = [make_frames(n, seed) for seed, n in enumerate(chosen.lengths)]
    recording = Recording(root, states, actions, pixels)
    tables = [make_table(recording, i, chosen) for i in range(len(chosen.lengths))]
    (root / "meta").mkdir(parents=True)
    write = write_v30 if version == "v3.0" else write_v21
    paths = write(recording, tables, chosen)
    info = {**describe_set(version, chosen), **paths, **chosen.info}
    (root / "meta/info.json").write_text(json.dumps(info))
    return recording


def describe_set(version: str, options: Options) -> dict[str, Any]:
    number = {"dtype": "int64", "shape": [1], "names": None}
    features: dict[str, Any] = {
        "observation.state": {
            "dtype": "float32",
            "shape": [3],
            "names": {"motors": ["x", "y", "angle"]},
        },
        "action": {"dtype": "float32", "shape": [2], "names": None},
        "note": {"dtype": "string", "shape": [1], "names": None},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        **dict.fromkeys(("episode_index", "frame_index", "index", "task_index"), number),
    }
    if options.camera:
        features["observation.images.top"] = {
            "dtype": options.camera,
            "shape": list(SHAPE),
            "names": ["height", "width", "channels"],
        }
    return {
        "codebase_version": version,
        "robot_type": "arm",
        "fps": FPS,
        "total_episodes": len(options.lengths),
        "total_frames": sum(options.lengths),
        "chunks_size": 2,
        "features": features,
        "splits": {"train": "0:2", "odd": "1:2,4"},
    }


def make_frames(length: int, seed: int) -> NDArray[np.uint8]:
    """(T,H,W,3): one colour for each step, so that lossy video keeps the steps apart."""
    colours = np.random.default_rng(seed).integers(0, 256, (length, 1, 1, 3), np.uint8)
    return np.broadcast_to(colours, (length, *SHAPE)).copy()


def make_table(recording: Recording, episode: int, options: Options) -> pa.Table:
    length = options.lengths[episode]
    first = sum(options.lengths[:episode])
    columns: dict[str, Any] = {
        "observation.state": recording.states[episode].tolist(),
        "action": recording.actions[episode].tolist(),
        "note": ["a"] * length,
        "timestamp": np.arange(length, dtype=np.float32) / np.float32(FPS),
        "frame_index": np.arange(length),
        "episode_index": np.full(length, episode),
        "index": np.arange(first, first + length),
        "task_index": np.full(length, episode % len(TASKS)),
    }
    if options.camera == "image":
        cells = [{"bytes": png(frame), "path": "x.png"} for frame in recording.pixels[episode]]
        columns["observation.images.top"] = cells
    replaced = {key: change(columns[key], episode) for key, change in options.columns.items()}
    return pa.table({key: replaced.get(key, values) for key, values in columns.items()})


def png(frame: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "PNG")
    return stream.getvalue()


def write_parquet(path: Path, table: pa.Table, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, write_page_checksum=True, row_group_size=4, **options)


def write_film(path: Path, frames: NDArray[np.uint8], codec: str = "mpeg4") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=FPS)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        stream.bit_rate = 4_000_000
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def write_v21(recording: Recording, tables: list[pa.Table], options: Options) -> dict[str, str]:
    data = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    video = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    for i, table in enumerate(tables):
        place = {"episode_chunk": i // 2, "episode_index": i}
        write_parquet(recording.root / data.format(**place), table)
        if options.camera == "video":
            path = recording.root / video.format(**place, video_key="observation.images.top")
            write_film(path, recording.pixels[i])
    episodes = [{"episode_index": i, "length": n} for i, n in enumerate(options.lengths)]
    tasks = [{"task_index": i, "task": task} for i, task in enumerate(TASKS)]
    for name, lines in (("episodes", episodes), ("tasks", tasks)):
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (recording.root / f"meta/{name}.jsonl").write_text(text)
    return {"data_path": data, "video_path": video}


def write_v30(recording: Recording, tables: list[pa.Table], options: Options) -> dict[str, str]:
    """``per_file`` episodes in a file, two files in a chunk; one list for each episode."""
    data = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    video = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    ends = np.cumsum(options.lengths)
    rows = []
    for first in range(0, len(tables), options.per_file):
        part = range(first, min(first + options.per_file, len(tables)))
        chunk, file = divmod(first // options.per_file, 2)
        place = {"chunk_index": chunk, "file_index": file}
        write_parquet(
            recording.root / data.format(**place), pa.concat_tables(tables[i] for i in part)
        )
        if options.camera == "video":
            path = recording.root / video.format(**place, video_key="observation.images.top")
            write_film(path, np.concatenate([recording.pixels[i] for i in part]))
        for i in part:
            begin = int(ends[i]) - options.lengths[i]
            since = sum(options.lengths[j] for j in part if j < i)
            rows.append(_episode_row(i, chunk, file, begin, options.lengths[i], since / FPS))
    for number, row in enumerate(rows):
        path = recording.root / f"meta/episodes/chunk-000/file-{number:03d}.parquet"
        write_parquet(path, pa.Table.from_pylist([row]))
    tasks = {"task_index": list(range(len(TASKS))), "__index_level_0__": list(TASKS)}
    write_parquet(recording.root / "meta/tasks.parquet", pa.table(tasks))
    return {"data_path": data, "video_path": video}


def _episode_row(
    episode: int, chunk: int, file: int, begin: int, length: int, since: float
) -> dict[str, Any]:
    camera = "videos/observation.images.top"
    return {
        "episode_index": episode,
        "data/chunk_index": chunk,
        "data/file_index": file,
        "dataset_from_index": begin,
        "dataset_to_index": begin + length,
        "length": length,
        "tasks": [TASKS[episode % len(TASKS)]],
        f"{camera}/chunk_index": chunk,
        f"{camera}/file_index": file,
        f"{camera}/from_timestamp": since,
    }
