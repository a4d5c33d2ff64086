"""From the settings of a run to all its parts: stores, mixture, sampler, policy; checked first."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.formats import open_any
from ambient_datasets.instructions import build_vocabulary, number_instructions
from ambient_datasets.mixture import Mixture
from ambient_datasets.normalizers import build_normalizers
from ambient_datasets.source import Source
from ambient_datasets.store import Store
from ambient_datasets.union import Bodies, embody, unknown_units
from ambient_datasets.windows import Windows
from ambient_policy.ambient.admission import Admission, buffer_factor
from ambient_policy.ambient.sampler import Sampler
from ambient_policy.batch import EMBODIMENT, INSTRUCTION, Batch
from ambient_policy.diffusion.law import Law
from ambient_policy.errors import SettingsError, listed
from ambient_policy.language import Table, Vocabulary
from ambient_policy.policy import Policy, PolicySpec
from ambient_policy.saved import load_policy
from ambient_policy.seeding import generator
from ambient_policy.settings import DataSettings, RunSettings, SourceSettings, Tables
from ambient_policy.spec import differences
from ambient_policy.training.loop import check_device
from ambient_policy.training.validation import held_out_draw
from ambient_policy.workflows.configs import choices
from ambient_policy.workflows.fit import remarks_on_world
from ambient_policy.workflows.world import acting_source, check_acting, check_world


@dataclass(frozen=True)
class Parts:
    """Everything a training needs besides its settings.

    Attributes:
        settings: of the run.
        mixture: of its sources.
        sampler: who is drawn at which noise level.
        spec: of the policy.
        labels: (E,) int64 of every episode, by the part of an observation that they become.
        instructions: (L + 1, V) rows of those that the policy follows; None where it follows none.
        remarks: what is allowed, and perhaps not what was meant.
    """

    settings: RunSettings
    mixture: Mixture
    sampler: Sampler
    spec: PolicySpec
    labels: dict[str, NDArray[np.int64]]
    instructions: Table | None
    remarks: tuple[str, ...] = ()

    @cached_property
    def windows(self) -> Windows:
        """The mixture's tables on the training device, made at first use."""
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
        """What training validates, the same for every arm and seed; None if it does not."""
        validation = self.settings.training.validation
        if validation.every is None:
            return None
        windows, law = self.mixture.held_out_windows(), self.sampler.law
        return self.windows.gather(held_out_draw(windows, law, validation))


def prepare(settings: RunSettings) -> Parts:
    """All parts of a run, every check done, before any training step.

    Raises:
        AmbientPolicyError: whatever is wrong with settings or data.
    """
    stores = open_stores(settings)
    sources = [Source(name, settings.sources[name], store) for name, store in stores.items()]
    normalizers = build_normalizers(settings, sources)
    fingerprints = [normalizers.of_source[name].fingerprint for name in stores]
    mixture = Mixture.join(sources, settings, fingerprints)
    bodies = embody(stores, normalizers.of_source, mixture.attributes)
    sampler = build_sampler(settings, mixture)
    acting = acting_source(settings.task, sources)
    check_acting(settings, mixture, bodies, acting, sampler)
    known = build_vocabulary(settings.language, settings.task, sources)
    vocabulary, rows = (None, None) if known is None else known
    spec = _spec(settings, mixture, bodies, sources[acting], vocabulary)
    check_world(settings.task, spec, sources[acting].store.attributes)
    remarks = (
        *normalizers.remarks,
        *unknown_units(stores),
        *remarks_on_world(spec.task, settings.task, sources[acting]),
    )
    labels = _labels(mixture, bodies, sources, vocabulary)
    return Parts(settings, mixture, sampler, spec, labels, rows, remarks)


def open_stores(settings: DataSettings) -> dict[str, Store]:
    """The stores of the sources, by name.

    Raises:
        SettingsError: where there is no source.
        DataError: naming store, key and remedy.
    """
    if not settings.sources:
        names = list(choices("experiment"))
        raise SettingsError(
            f"no demonstrations are named. Choose an experiment (experiment={listed(names)}; "
            "ambient-policy configs experiment says what they are), write one for your own data "
            "(ambient-policy new mine), or name stores, e.g. "
            "'mixture=[{path: good.zarr, trust: trusted}]'."
        )
    return {n: open_source(n, source, settings.tables) for n, source in settings.sources.items()}


def open_source(name: str, source: SourceSettings, tables: Tables = Tables.memory) -> Store:
    """The store of a source, described by itself or by the settings."""
    if not source.path:
        raise SettingsError(f"sources.{name}.path is empty; name the folder of its store.")
    return open_any(source, tables)


def build_sampler(settings: RunSettings, mixture: Mixture) -> Sampler:
    """Sigma first, from the training law."""
    loss, law = settings.loss, settings.noise.training_law()
    check_reach(settings, mixture, law)
    return Sampler(
        Admission(mixture.sigma_min, mixture.sigma_max, loss.ambient, loss.s_max),
        mixture.episode_starts,
        mixture.episode_lengths,
        mixture.window_weight,
        law,
        settings.horizons.pred - 1,
    )


def check_reach(settings: RunSettings, mixture: Mixture, law: Law) -> None:
    """Refuse a threshold above which training never goes: that source would silently teach nothing.

    Annotated thresholds differ from episode to episode; those out of reach are remarked instead.

    Raises:
        SettingsError: naming the source and the highest level of training.
    """
    loss = settings.loss
    factor = buffer_factor(loss.s_max) if loss.ambient else 1.0
    for i, name in enumerate(mixture.names):
        low = np.unique(mixture.sigma_min[mixture.source_of_episode == i])
        if len(low) == 1 and law.sigma_hi <= low[0] * factor < np.inf:
            buffered = f" (times {factor:.4g}, of loss.s_max)" if factor > 1 else ""
            raise SettingsError(
                f"source '{name}': sigma_min = {low[0]:g}{buffered} does not lie below "
                f"{law.sigma_hi:g}, the highest level of training, so it would never teach above "
                f"it. Lower it, or say so: sources.{name}.sigma_min=inf (to teach nothing at all: "
                "trust=rejected)."
            )


def initial_policy(parts: Parts) -> Policy:
    """Random weights of the seed, or the averaged weights of the policy to start from."""
    check_device(parts.settings.training.device)
    policy = Policy(parts.spec, parts.settings.seed, parts.instructions)
    if parts.settings.start_from is not None:
        start = load_policy(parts.settings.start_from)
        other = differences(parts.spec.foundation(), start.spec.foundation())
        if other:
            raise SettingsError(
                f"start_from = {parts.settings.start_from} was trained with another "
                f"{', '.join(other)} than this run; make them equal."
            )
        policy.load_state_dict(start.state_dict())
    return policy


def _spec(
    settings: RunSettings,
    mixture: Mixture,
    bodies: Bodies,
    acting: Source,
    vocabulary: Vocabulary | None,
) -> PolicySpec:
    attributes = mixture.attributes
    number = bodies.of_source[mixture.names.index(acting.name)]
    return PolicySpec(
        task=settings.task.id or acting.store.attributes.task,
        task_kwargs=settings.task.kwargs,
        observation_names=attributes.observation_names,
        action_names=attributes.action_names,
        control_rate=attributes.control_rate,
        embodiments=bodies.embodiments,
        acting=list(bodies.embodiments)[number],
        horizons=settings.horizons,
        noise=settings.noise,
        network=settings.network,
        solver=settings.solver,
        actions=settings.actions,
        cameras={name: frames.shape for name, frames in mixture.cameras.items()},
        language=vocabulary,
    )


def _labels(
    mixture: Mixture, bodies: Bodies, sources: list[Source], vocabulary: Vocabulary | None
) -> dict[str, NDArray[np.int64]]:
    """The numbers of each episode that observations carry."""
    labels = {}
    if len(bodies.embodiments) > 1:
        labels[EMBODIMENT] = bodies.of_source[mixture.source_of_episode]
    if vocabulary is not None:
        labels[INSTRUCTION] = number_instructions(sources, vocabulary)
    return labels
