"""What a person sees of a training: who teaches what, how far it is, how fast it went."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ambient_policy.errors import listed
from ambient_policy.evaluation.tables import print_contributions
from ambient_policy.progress import progress
from ambient_policy.settings import RunSettings, Teaches
from ambient_policy.training.stopwatch import summary
from ambient_policy.workflows.contributions import contributions
from ambient_policy.workflows.preparation import Parts

Row = dict[str, Any]
NAMED = 6  # sources of a remark
TUNED = "tuned"  # who says a threshold, in ``Mixture.origins``


def show_sources(parts: Parts, console: Console) -> None:
    """The arm, a row for each source, and remarks."""
    console.print(arm_in_words(parts.settings, parts.mixture.origins))
    if any(parts.mixture.origins):
        named = zip(parts.mixture.names, parts.mixture.origins, strict=True)
        console.print(origins_in_words(dict(named)))
    print_contributions(contributions(parts.mixture, parts.sampler).rows, console)
    for remark in remarks(parts):
        console.print(f"note: {remark}")


def origins_in_words(origins: Mapping[str, str]) -> str:
    """Who says the thresholds of each source, where the arm reads any."""
    who = (f"{name} by {origin}" for name, origin in origins.items() if origin)
    return f"thresholds: {listed(who, most=6)}"


def arm_in_words(settings: RunSettings, origins: Sequence[str] = (TUNED,)) -> str:
    """What each role teaches, with the numbers of ``tuned`` that the arm reads.

    Args:
        settings: of the run.
        origins: who says the thresholds of each source.
    """
    arm, tuned = settings.arm, settings.tuned
    reads = arm.reads if any(TUNED in origin for origin in origins) else ()
    words = {
        Teaches.everything: "every noise level",
        Teaches.nothing: "none",
        Teaches.above: "sigma > sigma_min",
        Teaches.above_or_below: "sigma > sigma_min or sigma < sigma_max",
        Teaches.below: "sigma < the others' sigma_min",
    }
    shared = [
        f"{name} = {getattr(tuned, name):.4g}"
        for name in (*reads, *["trusted_weight"] * arm.reweight)
        if getattr(tuned, name) is not None
    ]
    return (
        f"arm {settings.label}: trusted episodes teach {words[arm.trusted]}, suboptimal ones "
        f"{words[arm.suboptimal]}{' (tuned: ' + ', '.join(shared) + ')' if shared else ''}"
    )


def _unused_numbers(settings: RunSettings, origins: Sequence[str]) -> Iterator[str]:
    """Thresholds of ``tuned`` that reach no source: a sweep over them trains equal runs."""
    if any(TUNED in origin for origin in origins):
        return
    for name in settings.arm.reads:
        if getattr(settings.tuned, name) is not None:
            yield (
                f"tuned.{name} = {getattr(settings.tuned, name):.4g} is not used: the sources say "
                "their thresholds themselves, by settings or by the annotation of their store."
            )


def remarks(parts: Parts) -> Iterator[str]:
    """What is allowed, and perhaps not what was meant."""
    mixture, sampler = parts.mixture, parts.sampler
    yield from parts.remarks
    yield from _unused_numbers(parts.settings, mixture.origins)
    yield from _same_stores(parts.settings)
    yield from _unlimited(parts)
    if mixture.held_out.any() and parts.settings.training.validation.every is None:
        yield (
            f"{mixture.held_out.sum()} episodes are held out and nothing looks at them: "
            "training.validation.every is null."
        )
    highest = sampler.law.sigma_hi
    reachable = np.isfinite(sampler.admission.sigma_min)
    out_of_reach = reachable & (sampler.admission.threshold >= highest)
    for source in np.unique(mixture.source_of_episode[out_of_reach]):
        count = (mixture.source_of_episode[out_of_reach] == source).sum()
        yield (
            f"{count} episodes of {mixture.names[source]} are annotated with a sigma_min that no "
            f"level of training exceeds (the highest is {highest:g}): they teach nothing above it."
        )
    yield from _ends(parts)
    if mixture.trusted.all() and parts.settings.arm.suboptimal is not Teaches.everything:
        yield "every source is trusted, so the arm has nothing to hold back."


def _same_stores(settings: RunSettings) -> Iterator[str]:
    """Stores that several sources read."""
    readers: dict[Path, list[str]] = {}
    for name, source in settings.sources.items():
        readers.setdefault(Path(source.path).resolve(), []).append(name)
    for names in readers.values():
        if len(names) > 1:
            path = settings.sources[names[0]].path
            yield (
                f"{listed(names, most=NAMED)} read the same store, {path}: its episodes are drawn "
                "for each of them, and teach what either may. Leave one out, or mend its path."
            )


def _unlimited(parts: Parts) -> Iterator[str]:
    """Suboptimal episodes whose thresholds leave no noise level out, where the arm reads them."""
    mixture, admission, law = parts.mixture, parts.sampler.admission, parts.sampler.law
    if parts.settings.arm.suboptimal is Teaches.everything:
        return
    low, high = admission.threshold, mixture.sigma_max
    whole = (low < law.sigma_lo) | (high > law.sigma_hi) | (low < high)
    whole &= ~mixture.trusted & mixture.taught
    for source in np.unique(mixture.source_of_episode[whole]):
        of_source = whole & (mixture.source_of_episode == source)
        count, first = of_source.sum(), int(np.flatnonzero(of_source)[0])
        yield (
            f"{count} suboptimal episodes of {mixture.names[source]} teach every noise level, as "
            f"in arm=cotrain: sigma_min = {mixture.sigma_min[first]:.4g}, sigma_max = "
            f"{high[first]:.4g} leave none of {law.sigma_lo:.3g} to {law.sigma_hi:.3g} out."
        )


def _ends(parts: Parts) -> Iterator[str]:
    """What the ambient loss leaves out: chunks beyond the ends of episodes."""
    mixture, sampler = parts.mixture, parts.sampler
    finite = (mixture.sigma_min > 0) & (mixture.sigma_min < np.inf)
    ambient = mixture.taught & finite & sampler.admission.ambient_loss
    lengths, short = mixture.episode_lengths, ambient & sampler.too_short
    long = ambient & ~short
    if long.any():
        left = sampler.ahead * long.sum() / lengths[long].sum()
        yield (
            "loss.ambient = true: above a sigma_min no chunk teaches that ends beyond its episode "
            f"({left:.0%} of these windows): its repeated action would show through."
        )
    for source in np.unique(mixture.source_of_episode[short]):
        count = (mixture.source_of_episode[short] == source).sum()
        yield (
            f"loss.ambient = true: {count} episodes of {mixture.names[source]} are shorter than a "
            f"chunk ({sampler.ahead + 1} steps) and teach nothing above their sigma_min. Choose a "
            "shorter horizons.pred, or loss.ambient=false."
        )


def show(rows: Iterable[Row], start: int, steps: int, console: Console) -> Iterator[Row]:
    """Pass the rows of a log on, under a bar; then say how fast it went.

    Args:
        rows: of the training.
        start: steps before the first row.
        steps: of the whole training.
        console: where to.
    """
    laps = []
    with progress("training", steps, start, console) as bar:
        for row in rows:
            laps.append(row)
            bar.update(row["step"], _losses(row))
            yield row
    if laps:
        console.print(summary(laps))


def _losses(row: Row) -> str:
    held_out = row.get("validation/loss")
    return f"loss {row['loss']:.5f}" + ("" if held_out is None else f", held out {held_out:.5f}")
