"""Size: a mixture of very many episodes, memory, and conversion by several workers."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ambient_policy.ambient.sampler import Sampler
from ambient_policy.settings import RunSettings, SourceSettings, Tables, Trust
from ambient_policy.workflows.benchmark.measurement import Measurement, seconds
from ambient_policy.workflows.benchmark.process import watch
from ambient_policy.workflows.benchmark.speed import DRAWN, DRAWS, SIZES
from ambient_policy.workflows.benchmark.synthetic import make_replay, make_sampler, make_stores
from ambient_policy.workflows.preparation import prepare
from ambient_policy.workflows.settings import compose

HOST = torch.device("cpu")
# overrides of a conversion and a training: with a camera, into a small network
CONVERSION = (
    "recipe.format=diffusion_policy",
    "recipe.state=[state]",
    "recipe.action=[action]",
    "recipe.cameras={top: img}",
    "recipe.task=replay",
    "recipe.source=synthetic",
    "recipe.control_rate=10",
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
    """Make the settings of a training on all stores; only the first one is trusted everywhere."""
    levels = np.linspace(0.1, 3.0, len(paths)).tolist()
    sources = {
        path.stem: SourceSettings(str(path), Trust.suboptimal, sigma_min=level)
        for path, level in zip(paths, levels, strict=True)
    }
    sources[paths[0].stem] = SourceSettings(str(paths[0]), Trust.trusted)
    settings: RunSettings = compose("train", ["experiment=maze"])
    return replace(settings, sources=sources, tables=Tables.disk)


def measure_mixture(
    stores: int, episodes: int, folder: Path, repeats: int
) -> Iterator[Measurement]:
    """Measure seconds to open a mixture of many stores, and its draws beside a small one."""
    settings = many_settings(make_stores(folder, stores, episodes))
    opened: list[Sampler] = []

    def open_all() -> None:
        opened[:] = [prepare(settings).sampler]

    what = f"{stores:,} stores, {stores * episodes:,} episodes"
    yield Measurement(f"opening {what}", "s", [seconds(open_all, HOST) for _ in range(repeats)])
    yield from compare_draws(opened[0], make_sampler(SIZES[0]), what, repeats)


def compare_draws(large: Sampler, small: Sampler, what: str, repeats: int) -> Iterator[Measurement]:
    """Measure draws per second of two samplers in turn, and their ratio."""

    def rate(sampler: Sampler) -> float:
        def draw() -> None:
            for step in range(DRAWN):
                sampler.draw(0, step, DRAWS)

        return DRAWN * DRAWS / seconds(draw, HOST)

    pairs = [(rate(large), rate(small)) for _ in range(repeats + 1)][1:]
    yield Measurement(f"draws, {what}", "1/s", [one for one, _ in pairs])
    yield Measurement(
        f"draws, {len(small.lengths):,} episodes", "1/s", [other for _, other in pairs]
    )
    yield Measurement("draws, first over second", "", [one / other for one, other in pairs])


def measure_memory(
    gigabytes: Sequence[float], steps: int, folder: Path, repeats: int
) -> Iterator[Measurement]:
    """Measure megabytes and seconds to convert and to train on stores of rising size."""
    for size in gigabytes:
        runs = [watch_size(size, steps, folder) for _ in range(repeats)]
        for part, work in enumerate((f"converting {size:g} GB", f"{steps} steps on {size:g} GB")):
            yield Measurement(f"{work}, most resident", "MB", [run[part][0] for run in runs])
            yield Measurement(work, "s", [run[part][1] for run in runs])


def watch_size(gigabytes: float, steps: int, folder: Path) -> list[tuple[float, float]]:
    """Return (megabytes, seconds) of a conversion and of a training; delete their results."""
    source, store = folder / "source.zarr", folder / "store.zarr"
    make_replay(source, int(gigabytes * 1e9))
    conversion = watch("convert", [*CONVERSION, f"path={source}", f"out={store}"], folder)
    shutil.rmtree(source)
    places = [f"sources.{name}.path={store}" for name in ("trusted", "suboptimal")]
    places += [f"sources.{name}.max_episodes=null" for name in ("trusted", "suboptimal")]
    places.append(f"root={folder}/runs")
    often = [f"training.{name}={steps}" for name in ("steps", "log_every", "checkpoint_every")]
    training = watch("train", [*TRAINING, *places, *often], folder)
    for path in (store, folder / "cache", folder / "runs"):
        shutil.rmtree(path)
    return [conversion, training]


def measure_conversion(gigabytes: float, folder: Path, repeats: int) -> Iterator[Measurement]:
    """Measure seconds of a conversion by one worker and by two in turn, and their ratio.

    Frames become a quarter as large, so that an episode costs work besides its bytes.
    """
    source, store = folder / "source.zarr", folder / "store.zarr"
    make_replay(source, int(gigabytes * 1e9))

    def convert_by(workers: int) -> float:
        overrides = [*CONVERSION, "recipe.camera_size=[48,48]", f"jobs.workers={workers}"]
        _, duration = watch("convert", [*overrides, f"path={source}", f"out={store}"], folder)
        shutil.rmtree(store)
        return duration

    pairs = [(convert_by(1), convert_by(2)) for _ in range(repeats)]
    yield Measurement(f"converting {gigabytes:g} GB, 1 worker", "s", [one for one, _ in pairs])
    yield Measurement(f"converting {gigabytes:g} GB, 2 workers", "s", [two for _, two in pairs])
    yield Measurement("1 worker over 2", "", [one / two for one, two in pairs])
