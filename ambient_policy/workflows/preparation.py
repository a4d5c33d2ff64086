"""From settings to the parts of a run: mixture, sampler, policy."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.instructions import build_vocabulary, number_instructions
from ambient_datasets.mixture import Mixture
from ambient_datasets.windows import Windows
from ambient_envs import ALL_TASKS
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.batch import EMBODIMENT, INSTRUCTION, Batch
from ambient_policy.errors import SettingsError
from ambient_policy.language import Table
from ambient_policy.policy import Policy, PolicySpec
from ambient_policy.seeding import generator
from ambient_policy.settings import (
    RunSettings,
)
from ambient_policy.spec import differences
from ambient_policy.training.checkpoint import (
    load_policy,
)
from ambient_policy.training.loop import check_device
from ambient_policy.training.validation import held_out_draw
from ambient_policy.workflows.folders import declared_checkpoint
from ambient_policy.workflows.mixing import build_sampler, resolve_sources
from ambient_policy.workflows.world import acting_source, check_acting, check_task, worlds_of


@dataclass(frozen=True)
class Parts:
    """Everything a training needs besides its settings."""

    settings: RunSettings
    mixture: Mixture
    sampler: Sampler
    spec: PolicySpec
    # of every episode, by the part of an observation that they become: (E,) int64
    labels: dict[str, NDArray[np.int64]]
    # (L + 1, V) of the instructions that the policy knows; None where it knows none
    rows: Table | None

    @cached_property
    def windows(self) -> Windows:
        """The mixture's tables on the training device; made when first asked for."""
        return self.windows_on(self.settings.training.device)

    def windows_on(self, device: str) -> Windows:
        """The mixture's tables on a device."""
        settings = self.settings
        return Windows(self.mixture, settings.horizons, settings.seed, device, self.labels)

    def columns_of(self, window: int) -> list[int]:
        """Where the actions of a window's source lie among the policy's."""
        source = int(self.mixture.source_of_window(np.array(window)))
        columns: list[int] = self.mixture.actions.places[source].tolist()
        return columns

    def batch_at(self, step: int, rows: slice = slice(None)) -> Batch:
        """The batch of a step, or some rows of it: a pure function of (settings, step).

        All of the step's draws are made, so rows are the same whoever asks for them; only theirs
        are gathered.
        """
        seed, count = self.settings.seed, self.settings.training.batch
        draw = self.sampler.draw(seed, step, count)
        crop = generator(seed, "crop", step).random((count, 2), np.float32)
        return self.windows.gather(draw.rows(rows), crop[rows])

    def held_out_batch(self) -> Batch | None:
        """What training validates, the same for every arm and seed; None if it is not to."""
        validation = self.settings.training.validation
        if validation.every is None:
            return None
        windows, law = self.mixture.held_out_windows(), self.sampler.law
        return self.windows.gather(held_out_draw(windows, law, validation))


def build(settings: RunSettings) -> Parts:
    """All parts, every check done, before any training step."""
    sources, bodies = resolve_sources(settings)
    mixture = Mixture.join(sources, settings.cameras, settings.dimensions)
    acting = acting_source(settings.task, sources)
    check_task(settings, sources[acting].store.attributes)
    sampler = build_sampler(settings, mixture)
    check_acting(settings, mixture, bodies, acting, sampler)
    known = build_vocabulary(settings.language, settings.task, sources)
    spec = PolicySpec(
        task=settings.task.id,
        task_kwargs=settings.task.kwargs,
        observation_names=mixture.attributes.observation_names,
        action_names=mixture.attributes.action_names,
        control_rate=mixture.attributes.control_rate,
        embodiments=bodies.embodiments,
        acting=list(bodies.embodiments)[bodies.of_source[acting]],
        horizons=settings.horizons,
        noise=settings.noise,
        network=settings.network,
        solver=settings.solver,
        actions=settings.actions,
        cameras={name: frames.shape for name, frames in mixture.cameras.items()},
        language=None if known is None else known[0],
    )
    if settings.task.id in ALL_TASKS:
        worlds_of(spec, settings.task, 1).close()  # refuses cameras that are not shown
    labels = {}
    if len(bodies.embodiments) > 1:
        labels[EMBODIMENT] = bodies.of_source[mixture.source_of_episode]
    if known is not None:
        labels[INSTRUCTION] = number_instructions(sources, known[0])
    return Parts(settings, mixture, sampler, spec, labels, None if known is None else known[1])


def initial_policy(parts: Parts) -> Policy:
    """Random weights of the seed, or the averaged weights of the run to start from."""
    check_device(parts.settings.training.device)
    policy = Policy(parts.spec, parts.settings.seed, parts.rows)
    if parts.settings.start_from is not None:
        start = load_policy(declared_checkpoint(Path(parts.settings.start_from)))
        other = differences(parts.spec.foundation(), start.spec.foundation())
        if other:
            raise SettingsError(
                f"start_from = {parts.settings.start_from} was trained with another "
                f"{', '.join(other)} than this run; make them equal."
            )
        policy.load_state_dict(start.state_dict())
    return policy
