"""Reads LeRobotDataset v2.1 and v3.0 (github.com/huggingface/lerobot): parquet, and videos.

Kept: the features asked for, the cameras asked for, fps, the names of dimensions, the tasks as
instruction. Checked on the way: every row's number and episode, and its timestamp against fps:
counted from the episode's first, it may be off by ``lerobot_rows.TIME_TOLERANCE`` and one
float32 rounding, unless ``Request.stamps`` says what to do with a clock's stamps.
Needs pyarrow (extra [lerobot]); cameras of type "video" need PyAV (extra [video]).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ambient_datasets.demonstrations import (
    Labels,
    Request,
    describe,
)
from ambient_datasets.faults import fault
from ambient_datasets.formats.lerobot_features import (
    check_numbers,
    find_frames,
    find_split,
    frame_shape,
    name_columns,
)
from ambient_datasets.formats.lerobot_index import (
    Index,
    check_templates,
    data_file,
    film,
    read_index,
    read_tasks,
)
from ambient_datasets.formats.lerobot_info import Info, read_info
from ambient_datasets.formats.lerobot_rows import RESTORE, check_rows, check_times, read_stamps
from ambient_datasets.formats.stamps import nearest_rows
from ambient_datasets.guards.apart import SECONDS, read_episode_apart
from ambient_datasets.guards.film import find_decoder, read_film
from ambient_datasets.guards.numbers import to_float32
from ambient_datasets.guards.parquet import (
    batches,
    numbers,
    open_parquet,
    read_columns,
    whole_numbers,
)
from ambient_datasets.guards.pictures import check_memory, read_picture
from ambient_datasets.records import JSON, Attributes, Episode, StrPath

FRAME_SECONDS = 0.1  # a frame is decoded within this time, or never [s]
ROW_KEYS, TASK = ("episode_index", "frame_index", "timestamp"), "task_index"


@dataclass(frozen=True, eq=False)
class LeRobot:
    """A validated data set; satisfies ``Demonstrations``.

    Attributes:
        info: what ``meta/info.json`` says.
        request: what is taken.
        attributes: what the numbers mean.
        cameras: (H,W,3) [px] of each camera by our name for it.
        first, stop: the episodes of the split, from and to before.
    """

    info: Info
    request: Request
    attributes: Attributes
    cameras: Mapping[str, tuple[int, int, int]]
    first: int
    stop: int
    _index: Index = field(repr=False)
    _tasks: Mapping[int, str] = field(repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """Features of each step, those of no use as numbers or frames too; sorted."""
        return tuple(sorted(self.info.features))

    def __len__(self) -> int:
        """Episodes."""
        return self.stop - self.first

    def about(self, i: int) -> Mapping[str, JSON]:
        """What the list of episodes tells of episode i: its steps, tasks, and plain values."""
        about = self._index.about[self.first + i]
        tasks = about.get("tasks")
        words = {"instruction": "; ".join(map(str, tasks))} if isinstance(tasks, list) else {}
        return {**words, **about, "length": int(self._index.lengths[self.first + i])}

    def episode(self, i: int) -> Episode:
        """Episode i of 0 to len - 1.

        Raises:
            DataError: naming file, column, episode and step.
        """
        if not 0 <= i < len(self):
            raise fault(
                self.info.root, "episodes", f"no episode {i}; {len(self)} given", "Ask less."
            )
        i += self.first
        number = int(self._index.numbers[i])
        path, place = data_file(self.info, self._index, i), f"episode {number}"
        steps, shapes = int(self._index.lengths[i]), list(self.cameras.values())
        check_memory(path, steps, shapes, number)
        return read_episode_apart(
            path,
            place,
            partial(self._only(i)._read, path),
            SECONDS + steps * len(shapes) * FRAME_SECONDS,
        )

    def _only(self, i: int) -> "LeRobot":
        """What is needed to read the episode in row i of the list, in another process."""
        return replace(self, _index=self._index.only(i))

    def _read(self, path: Path) -> Episode:
        """The only episode there is."""
        with open_parquet(path) as file:
            return self._read_rows(path, file, 0)

    def _read_rows(self, path: Path, file: pq.ParquetFile, i: int) -> Episode:
        check_rows(path, file, int(self._index.rows[i]))
        number, first = int(self._index.numbers[i]), int(self._index.firsts[i])
        stop = first + int(self._index.lengths[i])
        tasks = (TASK,) if TASK in file.schema_arrow.names else ()
        keys = (*ROW_KEYS, *tasks, *self.request.state, *self.request.action)
        columns = read_columns(path, file, tuple(dict.fromkeys(keys)), first, stop)
        seconds = read_stamps(path, columns, number)
        rows = self._choose_rows(path, seconds, number)
        observations, actions = (
            np.concatenate([self._table(path, columns, key, number) for key in keys], axis=1)
            for keys in (self.request.state, self.request.action)
        )
        start = float(seconds[0]) if self.request.stamps == "check" else 0.0
        return Episode(
            observations[rows],
            actions[rows],
            {
                name: self._read_frames(path, file, name, key, i, start)[rows]
                for name, key in self.request.cameras.items()
            },
            self._instruction(path, columns.get(TASK), i),
        )

    def _choose_rows(
        self, path: Path, seconds: NDArray[np.float64], number: int
    ) -> slice | NDArray[np.int64]:
        """The rows to take: all of them, or for each time the one stamped nearest."""
        if self.request.stamps == "resample":
            return nearest_rows(path, "timestamp", seconds, self.info.fps, number)
        if self.request.stamps == "check":
            check_times(path, seconds, number, self.info.fps)
        return slice(None)

    def _table(
        self, path: Path, columns: Mapping[str, Any], key: str, number: int
    ) -> NDArray[np.float32]:
        width = self.info.features[key].width
        return to_float32(path, key, numbers(path, key, columns[key], width, number), number)

    def _read_frames(
        self, path: Path, file: pq.ParquetFile, name: str, key: str, i: int, start: float
    ) -> NDArray[np.uint8]:
        """(T,H,W,3) of a camera; ``start`` is the episode's first timestamp [s]."""
        shape, length = self.cameras[name], int(self._index.lengths[i])
        if self.info.features[key].dtype == "video":
            video, begin = film(self.info, self._index, i, key)
            times = begin + start + np.arange(length) / self.info.fps
            return read_film(video, times, shape, self.info.fps, int(self._index.numbers[i]))
        return self._read_pictures(path, file, name, key, i)

    def _read_pictures(
        self, path: Path, file: pq.ParquetFile, name: str, key: str, i: int
    ) -> NDArray[np.uint8]:
        """(T,H,W,3) from encoded pictures inside the parquet."""
        number = int(self._index.numbers[i])
        first, length = int(self._index.firsts[i]), int(self._index.lengths[i])
        frames, step = np.empty((length, *self.cameras[name]), np.uint8), 0
        for batch in batches(path, file, (key,), first, first + length):
            for cell in batch.column(key):
                record = cell.as_py()
                data = record.get("bytes") if isinstance(record, dict) else record
                try:
                    frames[step] = read_picture(data, self.cameras[name])
                except ValueError as error:
                    raise fault(path, key, f"step {step}: {error}", RESTORE, number) from error
                step += 1
        if step < length:
            raise fault(path, key, f"{step} frames for {length} steps", RESTORE, number)
        return frames

    def _instruction(self, path: Path, column: Any, i: int) -> str | None:
        """The episode's task, or None where it is empty.

        Several stand in their order of appearance, with "; " between them. Without a column of
        them it is what the list of episodes says, or the only task there is.
        """
        number = int(self._index.numbers[i])
        if column is None:
            return self._listed_tasks(path, i)
        tasks = dict.fromkeys(whole_numbers(path, TASK, column, number).tolist())
        strange = [task for task in tasks if task not in self._tasks]
        if strange:
            raise fault(
                path,
                TASK,
                f"{strange[0]} is none of the {len(self._tasks)} listed tasks",
                RESTORE,
                number,
            )
        return "; ".join(self._tasks[task] for task in tasks) or None

    def _listed_tasks(self, path: Path, i: int) -> str | None:
        tasks = self._index.about[i].get("tasks")
        if not isinstance(tasks, list) and len(self._tasks) != 1:
            raise fault(
                path,
                TASK,
                f"no such column, and there are {len(self._tasks)} tasks",
                "Add the column, or name each episode's tasks in the list of episodes.",
                int(self._index.numbers[i]),
            )
        words = tasks if isinstance(tasks, list) else list(self._tasks.values())
        return "; ".join(map(str, words)) or None


def open_lerobot(path: StrPath, request: Request) -> LeRobot:
    """Open and validate a data set; its rows are read with its episodes.

    Args:
        path: the folder that holds meta/ and data/.
        request: what is taken; keys are names of "features", the split one of "splits".

    Raises:
        DataError: naming file, place and remedy.
    """
    info = read_info(Path(path))
    for key in (*request.state, *request.action):
        check_numbers(info, key)
    films = [key for key in request.cameras.values() if find_frames(info, key).dtype == "video"]
    if films:
        find_decoder(info.path)
    index = read_index(info, films)
    check_templates(info, index, films)
    first, stop = find_split(info, request.split)
    state, action = (Labels(name_columns(info, keys)) for keys in (request.state, request.action))
    attributes = describe(info.root, request, state, action, info.fps)
    return LeRobot(
        info,
        request,
        replace(attributes, extra={"lerobot": info.version, "robot_type": info.robot}),
        {name: frame_shape(info, key) for name, key in request.cameras.items()},
        first,
        stop,
        index,
        read_tasks(info),
    )
