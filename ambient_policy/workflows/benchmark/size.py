"""What the benchmark measures of size: a mixture of very many episodes, and memory.

Memory is the most of a whole process that ever was resident, pages of mapped files included
(VmHWM of Linux), and the processes are the scripts that a person would run.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ambient_policy.ambient.sampler import Sampler
from ambient_policy.errors import SettingsError
from ambient_policy.settings import RunSettings, SourceSettings, Tables, Trust
from ambient_policy.workflows.benchmark.invention import invent_many, invent_replay, invent_sampler
from ambient_policy.workflows.benchmark.speed import DRAWN, DRAWS, SIZES, Measured, seconds
from ambient_policy.workflows.preparation import prepare
from ambient_policy.workflows.settings import compose

HOST = torch.device("cpu")
LOOK = 0.02  # seconds between two looks at a process
# a conversion and a training that are watched: with a camera, into a small network
CONVERSION = (
    "format=diffusion_policy",
    "state=[state]",
    "action=[action]",
    "cameras.top=img",
    "task=replay",
    "source=invented",
    "control_rate=10",
)
TRAINING = (
    "experiment=maze_camera",
    "task=recorded",
    "task.id=replay",
    "arm=cotrain",
    "tables=disk",
    "normalizer.kind=range",
    "normalizer.statistics=joint",
    "network.widths=[16,32]",
    "network.embedding=16",
    "network.encoders.top.channels=[16,32]",
    "network.encoders.top.keypoints=4",
    "network.encoders.top.crop=[84,84]",
    "training.batch=16",
)


def many_settings(paths: Sequence[Path]) -> RunSettings:
    """A training on all those stores; the first is trusted, each other above a level of its own."""
    levels = np.linspace(0.1, 3.0, len(paths)).tolist()
    sources = {
        path.stem: SourceSettings(str(path), Trust.suboptimal, sigma_min=level)
        for path, level in zip(paths, levels, strict=True)
    }
    sources[paths[0].stem] = SourceSettings(str(paths[0]), Trust.trusted)
    settings: RunSettings = compose("train", ["experiment=maze"])
    return replace(settings, sources=sources, tables=Tables.disk)


def measure_mixture(stores: int, episodes: int, folder: Path, repeats: int) -> Iterator[Measured]:
    """Seconds until a mixture of so many stores can be drawn from, and draws beside a small one."""
    settings = many_settings(invent_many(folder, stores, episodes))
    opened: list[Sampler] = []

    def open_all() -> None:
        opened[:] = [prepare(settings).sampler]

    what = f"{stores:,} stores, {stores * episodes:,} episodes"
    yield Measured(f"opening {what}", "s", [seconds(open_all, HOST) for _ in range(repeats)])
    yield from compare_draws(opened[0], invent_sampler(SIZES[0]), what, repeats)


def compare_draws(large: Sampler, small: Sampler, what: str, repeats: int) -> Iterator[Measured]:
    """Draws per second of two samplers, measured in turn, and their ratio."""

    def rate(sampler: Sampler) -> float:
        def draw() -> None:
            for step in range(DRAWN):
                sampler.draw(0, step, DRAWS)

        return DRAWN * DRAWS / seconds(draw, HOST)

    pairs = [(rate(large), rate(small)) for _ in range(repeats + 1)][1:]
    yield Measured(f"draws, {what}", "1/s", [one for one, _ in pairs])
    yield Measured(f"draws, {len(small.lengths):,} episodes", "1/s", [other for _, other in pairs])
    yield Measured("draws, first over second", "", [one / other for one, other in pairs])


def measure_memory(
    gigabytes: Sequence[float], steps: int, folder: Path, repeats: int
) -> Iterator[Measured]:
    """Megabytes and seconds of converting, then training on, stores of rising size."""
    for size in gigabytes:
        runs = [watch_size(size, steps, folder) for _ in range(repeats)]
        for part, work in enumerate((f"converting {size:g} GB", f"{steps} steps on {size:g} GB")):
            yield Measured(f"{work}, most resident", "MB", [run[part][0] for run in runs])
            yield Measured(work, "s", [run[part][1] for run in runs])


def watch_size(gigabytes: float, steps: int, folder: Path) -> list[tuple[float, float]]:
    """(megabytes, seconds) of a conversion and of a training; what they leave is deleted."""
    source, store = folder / "source.zarr", folder / "store.zarr"
    invent_replay(source, int(gigabytes * 1e9))
    converted = watch("convert", [*CONVERSION, f"path={source}", f"out={store}"], folder)
    shutil.rmtree(source)
    named = [f"sources.{name}.path={store}" for name in ("trusted", "suboptimal")]
    named += [f"sources.{name}.max_episodes=null" for name in ("trusted", "suboptimal")]
    named.append(f"root={folder}/runs")
    often = [f"training.{name}={steps}" for name in ("steps", "log_every", "checkpoint_every")]
    trained = watch("train", [*TRAINING, *named, *often], folder)
    for left in (store, folder / "cache", folder / "runs"):
        shutil.rmtree(left)
    return [converted, trained]


def measure_conversion(gigabytes: float, folder: Path, repeats: int) -> Iterator[Measured]:
    """Seconds of one conversion by one worker and by two, in turn, and their ratio.

    Frames become a quarter as large, for an episode to cost some work besides its bytes.
    """
    source, store = folder / "source.zarr", folder / "store.zarr"
    invent_replay(source, int(gigabytes * 1e9))

    def convert_by(workers: int) -> float:
        asked = [*CONVERSION, "camera_size=[48,48]", f"jobs.workers={workers}"]
        _, took = watch("convert", [*asked, f"path={source}", f"out={store}"], folder)
        shutil.rmtree(store)
        return took

    pairs = [(convert_by(1), convert_by(2)) for _ in range(repeats)]
    yield Measured(f"converting {gigabytes:g} GB, 1 worker", "s", [one for one, _ in pairs])
    yield Measured(f"converting {gigabytes:g} GB, 2 workers", "s", [two for _, two in pairs])
    yield Measured("1 worker over 2", "", [one / two for one, two in pairs])


def watch(verb: str, words: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run a verb with caches in a folder: the most that was resident [MB], and how long [s].

    Raises:
        SettingsError: with what it said, if it failed.
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    begun, most = time.perf_counter(), 0.0
    with (folder / "said").open("w+") as said:
        command = [sys.executable, "-m", "ambient_policy", verb, *words]
        child = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        while child.poll() is None:
            most = max(most, most_resident(child.pid))
            time.sleep(LOOK)
        if child.returncode != 0:
            said.seek(0)
            raise SettingsError(f"{' '.join(command)} failed: {said.read()}")
    return most, time.perf_counter() - begun


def most_resident(process: int) -> float:
    """The most of a process that ever was resident [MB]; 0 where it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0
