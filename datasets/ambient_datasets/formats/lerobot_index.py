"""Where each episode of a LeRobotDataset lies, and what its tasks are called.

v2.1 lists episodes and tasks in ``meta/*.jsonl`` and keeps one data file for each episode. v3.0
lists them in parquet and keeps several episodes in a file: an episode's rows follow those of the
earlier episodes of its file.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ambient_datasets.faults import fault
from ambient_datasets.formats.lerobot_info import EPISODE_FILES, RESTORE, Info, inside, whole
from ambient_datasets.guards.apart import read_apart
from ambient_datasets.guards.files import refuse_pointer
from ambient_datasets.guards.forks import Arrays
from ambient_datasets.guards.parquet import (
    count_rows,
    numbers,
    open_parquet,
    read_columns,
    whole_numbers,
)
from ambient_datasets.records import JSON
from ambient_policy.plain_files import is_file

EPISODE_LINES, TASK_LINES = "meta/episodes.jsonl", "meta/tasks.jsonl"
EPISODE_TABLES, TASK_TABLE = "meta/episodes/chunk-*/file-*.parquet", "meta/tasks.parquet"
TASK_NAMES = ("task", "__index_level_0__")  # the column of their texts; pandas names an index so
MAX_LINE = 1024**2  # [characters]


@dataclass(frozen=True, eq=False)
class Index:
    """Places of E episodes.

    Attributes:
        numbers: (E,) of the episodes, rising; where some were deleted there are gaps.
        lengths: (E,) steps.
        firsts: (E,) row of each one's first step in its data file.
        rows: (E,) rows of that whole file.
        chunks, files: (E,) numbers of that file.
        film_chunks, film_files, film_starts: (E,) numbers of its video and the time [s] at which it
            begins there, by the key of the camera.
        about: what the list says of each besides, by name.
    """

    numbers: NDArray[np.int64]
    lengths: NDArray[np.int64]
    firsts: NDArray[np.int64]
    rows: NDArray[np.int64]
    chunks: NDArray[np.int64]
    files: NDArray[np.int64]
    film_chunks: dict[str, NDArray[np.int64]]
    film_files: dict[str, NDArray[np.int64]]
    film_starts: dict[str, NDArray[np.float64]]
    about: list[dict[str, JSON]]

    def __len__(self) -> int:
        return len(self.lengths)

    def only(self, i: int) -> "Index":
        """The place of episode i alone."""
        row = slice(i, i + 1)
        return Index(
            self.numbers[row],
            self.lengths[row],
            self.firsts[row],
            self.rows[row],
            self.chunks[row],
            self.files[row],
            {key: values[row] for key, values in self.film_chunks.items()},
            {key: values[row] for key, values in self.film_files.items()},
            {key: values[row] for key, values in self.film_starts.items()},
            self.about[row],
        )


def data_file(info: Info, index: Index, episode: int) -> Path:
    """The parquet of an episode."""
    chunk, file = int(index.chunks[episode]), int(index.files[episode])
    if info.version in EPISODE_FILES:
        return info.data_file(episode_chunk=chunk, episode_index=file, chunk_index=chunk)
    return info.data_file(chunk_index=chunk, file_index=file)


def film(info: Info, index: Index, episode: int, key: str) -> tuple[Path, float]:
    """The video of an episode's camera, and the time [s] at which the episode begins in it."""
    chunk, file = int(index.film_chunks[key][episode]), int(index.film_files[key][episode])
    start = float(index.film_starts[key][episode])
    if info.version in EPISODE_FILES:
        values = {"episode_chunk": chunk, "episode_index": file, "chunk_index": chunk}
        return info.video_file(**values, video_key=key), start
    return info.video_file(chunk_index=chunk, file_index=file, video_key=key), start


def check_templates(info: Info, index: Index, films: Sequence[str]) -> None:
    """Refuse path templates that lead nowhere: every episode would fail by them."""
    data_file(info, index, 0)
    for key in films:
        film(info, index, 0, key)


def read_index(info: Info, films: Sequence[str]) -> Index:
    """The places of all episodes, and of their videos of some cameras.

    Raises:
        DataError: if the list of episodes is missing, damaged, or at odds with ``info.json``.
    """
    index = _read_lines(info, films) if info.version in EPISODE_FILES else _read_tables(info, films)
    for key, declared, counted in (
        ("total_episodes", info.episodes, len(index)),
        ("total_frames", info.frames, int(index.lengths.sum())),
    ):
        if declared != counted:
            raise fault(
                info.path,
                key,
                f"{declared} declared, but the list of episodes has {counted}",
                f"Restore the list of episodes; where episodes were deleted, write {counted} here.",
            )
    return index


def read_tasks(info: Info) -> dict[int, str]:
    """The texts of the tasks by their numbers.

    Raises:
        DataError: if their file is missing or damaged.
    """
    if info.version in EPISODE_FILES:
        path = inside(info.root, TASK_LINES, "the list of tasks")
        pairs = [
            (whole(path, record, "task_index", 0), record.get("task")) for record in _lines(path)
        ]
    else:
        path = inside(info.root, TASK_TABLE, "the list of tasks")
        rows = read_apart(path, "the list of tasks", partial(_read_tasks, path))
        texts = json.loads(rows["texts"].tobytes())
        pairs = list(zip(rows["numbers"].tolist(), texts, strict=True))
    tasks = {number: text for number, text in pairs if isinstance(text, str) and _is_utf8(text)}
    if len(tasks) < len(pairs):
        raise fault(path, "task", "a text is missing or broken, or one number has two", RESTORE)
    return tasks


def _is_utf8(text: str) -> bool:
    """Whether it holds no half of a surrogate pair, which JSON can smuggle in."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _read_tasks(path: Path) -> Arrays:
    """Numbers, and as JSON the texts."""
    with open_parquet(path) as file:
        names = [name for name in TASK_NAMES if name in file.schema_arrow.names] or ["task"]
        columns = ("task_index", names[0])
        table = read_columns(path, file, columns, 0, count_rows(path, file, columns))
        texts = [text if isinstance(text, str) else None for text in table[names[0]].to_pylist()]
        return {
            "numbers": whole_numbers(path, "task_index", table["task_index"]),
            "texts": np.frombuffer(json.dumps(texts).encode(), np.uint8),
        }


def _read_lines(info: Info, films: Sequence[str]) -> Index:
    """v2.1: one line and one file for each episode."""
    path = inside(info.root, EPISODE_LINES, "the list of episodes")
    records = list(_lines(path))
    rows = [
        (whole(path, record, "episode_index", 0), whole(path, record, "length", 1))
        for record in records
    ]
    lengths = np.array([length for _, length in rows], np.int64)
    numbers = np.array([number for number, _ in rows], np.int64)
    _check_order(path, numbers)
    chunks = numbers // info.chunk_size
    zeros = np.zeros(len(rows))
    return Index(
        numbers,
        lengths,
        np.zeros(len(rows), np.int64),
        lengths,
        chunks,
        numbers,
        dict.fromkeys(films, chunks),
        dict.fromkeys(films, numbers),
        dict.fromkeys(films, zeros),
        [_plain_values(record) for record in records],
    )


def _plain_values(record: dict[str, Any]) -> dict[str, JSON]:
    """Of what a line says of its episode, numbers, texts and lists of texts."""
    return {
        key: value
        for key, value in record.items()
        if isinstance(value, bool | int | float | str)
        or (isinstance(value, list) and all(isinstance(text, str) for text in value))
    }


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON lines file."""
    try:
        if not is_file(path):
            raise ValueError("no plain file")
        refuse_pointer(path)
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), ""), 1):
                record = json.loads(line) if line.strip() else {}
                if not isinstance(record, dict):
                    raise ValueError(f"line {number} is no object")
                if record:
                    yield record
    except (OSError, ValueError, RecursionError) as error:
        raise fault(path, "lines", f"no readable JSON lines ({error})", RESTORE) from error


def _read_tables(info: Info, films: Sequence[str]) -> Index:
    """v3.0: parquet files whose rows are episodes."""
    names = (path.relative_to(info.root) for path in info.root.glob(EPISODE_TABLES))
    paths = [inside(info.root, str(path), "the list") for path in sorted(names, key=_numbers)]
    if not paths:
        raise fault(info.root, EPISODE_TABLES, "there is no such file", RESTORE)
    whole = read_apart(
        info.root / "meta/episodes", "the list of episodes", partial(_join, paths, films)
    )
    _check_order(info.root / "meta/episodes", whole["episode_index"])
    lengths, chunks, files = (
        whole[key] for key in ("length", "data/chunk_index", "data/file_index")
    )
    firsts, rows = _rows_in_files(lengths, chunks, files)
    texts = json.loads(whole["about"].tobytes())
    return Index(
        whole["episode_index"],
        lengths,
        firsts,
        rows,
        chunks,
        files,
        {key: whole[f"videos/{key}/chunk_index"] for key in films},
        {key: whole[f"videos/{key}/file_index"] for key in films},
        {key: whole[f"videos/{key}/from_timestamp"] for key in films},
        texts,
    )


def _numbers(path: Path) -> list[int]:
    """file-999 before file-1000."""
    return [int(digits) for digits in re.findall("[0-9]+", str(path))]


def _join(paths: Sequence[Path], films: Sequence[str]) -> Arrays:
    parts = [_read_table(path, films) for path in paths]
    about = [line for path in paths for line in _read_about(path)]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return {**joined, "about": np.frombuffer(json.dumps(about).encode(), np.uint8)}


def _read_about(path: Path) -> list[dict[str, JSON]]:
    """What a file of the list says of its episodes, in columns of plain values; no statistics."""
    with open_parquet(path) as file:
        plain = [
            column.name
            for column in file.schema_arrow
            if "/" not in column.name
            and _is_plain(column.type)
            and file.schema_arrow.names.count(column.name) == 1
        ]
        rows = count_rows(path, file, plain)
        columns = {key: read_columns(path, file, (key,), 0, rows)[key] for key in plain}
        values = {key: column.to_pylist() for key, column in columns.items()}
    return [{key: values[key][row] for key in plain} for row in range(rows)]


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return bool(pa.types.is_string(kind.value_type))
    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_string)
    return any(test(kind) for test in tests)


def _read_table(path: Path, films: Sequence[str]) -> dict[str, NDArray[Any]]:
    """One file of the list of episodes; the statistics in it are not read."""
    counts = ["episode_index", "length", "dataset_from_index", "dataset_to_index"]
    counts += ["data/chunk_index", "data/file_index"]
    counts += [f"videos/{key}/{part}_index" for key in films for part in ("chunk", "file")]
    times = [f"videos/{key}/from_timestamp" for key in films]
    with open_parquet(path) as file:
        rows = count_rows(path, file, counts + times)
        if rows == 0:
            raise fault(path, "rows", "none: this list of episodes is empty", RESTORE)
        table = read_columns(path, file, counts + times, 0, rows)
        columns = {key: _count(path, key, table[key]) for key in counts}
        for key in times:
            columns[key] = numbers(path, key, table[key], 1)[:, 0].astype(np.float64)
            if not (np.isfinite(columns[key]) & (columns[key] >= 0)).all():
                raise fault(path, key, "a time is negative or not finite", RESTORE)
    _check_lengths(path, columns)
    return columns


def _count(path: Path, key: str, column: pa.Array) -> NDArray[np.int64]:
    values = whole_numbers(path, key, column)
    if (values < 0).any() or (values >= 2**53).any():
        raise fault(path, key, f"{int(values.min())} to {int(values.max())}: no counts", RESTORE)
    return values


def _check_lengths(path: Path, columns: dict[str, NDArray[Any]]) -> None:
    spans = columns["dataset_to_index"] - columns["dataset_from_index"]
    wrong = (columns["length"] < 1) | (spans != columns["length"])
    if wrong.any():
        row = int(np.argmax(wrong))
        raise fault(
            path,
            "length",
            f"{columns['length'][row]} steps, but rows {columns['dataset_from_index'][row]} to "
            f"{columns['dataset_to_index'][row]}; they must agree and be at least one",
            RESTORE,
            int(columns["episode_index"][row]),
        )


def _check_order(path: Path, episodes: NDArray[np.int64]) -> None:
    """Numbers rise; there may be gaps, where episodes were deleted."""
    wrong = np.diff(episodes, prepend=-1) <= 0
    if wrong.any():
        row = int(np.argmax(wrong))
        raise fault(
            path,
            "episode_index",
            f"{episodes[row]} stands in row {row} after {episodes[max(row - 1, 0)]}; numbers of "
            "episodes rise",
            RESTORE,
        )


def _rows_in_files(
    lengths: NDArray[np.int64], chunks: NDArray[np.int64], files: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(E,) first row of each episode in its file, and (E,) all rows of that file."""
    _, group = np.unique(np.stack([chunks, files], axis=1), axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    totals = np.bincount(group, weights=lengths).astype(np.int64)
    starts = np.cumsum(totals) - totals
    firsts = np.empty(len(lengths), np.int64)
    firsts[order] = np.cumsum(lengths[order]) - lengths[order]
    return firsts - starts[group], totals[group]
