"""What the episodes of a mixture were told, as numbers of a policy's vocabulary."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.source import Source
from ambient_policy.errors import SettingsError
from ambient_policy.language import Table, Vocabulary, one_hot, read_embeddings
from ambient_policy.settings import Language, LanguageSettings, TaskSettings


def build_vocabulary(
    language: LanguageSettings, task: TaskSettings, sources: Sequence[Source]
) -> tuple[Vocabulary, Table] | None:
    """The instructions that a policy learns to follow, with their rows; None if it is told none.

    Args:
        language: whether and how it is told.
        task: the world it acts in, and what rollouts say there.
        sources: of the mixture; those that teach say what it must know.

    Raises:
        SettingsError: for a text that the policy would not know.
        DataError: if the table cannot be read.
    """
    if language.kind is Language.none:
        return None
    if language.table is None:
        texts = tuple(sorted({text for source in sources for text in _texts(source)}))
        rows = one_hot(texts)
    else:
        texts, rows = read_embeddings(language.table)
        _check_table(language.table, texts, sources)
    vocabulary = Vocabulary.of(texts, rows, task.instruction)
    _check_silence(vocabulary, [s for s in sources if s.store.attributes.task == task.id])
    return vocabulary, rows


def number_instructions(sources: Sequence[Source], vocabulary: Vocabulary) -> NDArray[np.int64]:
    """(E,) the number of each episode's text, source after source.

    Where nothing was said it is ``vocabulary.silence``; so it is for texts of episodes that do not
    teach, if the vocabulary does not hold them.
    """
    numbers = {text: i for i, text in enumerate(vocabulary.texts)}
    silence = vocabulary.silence

    def of(source: Source) -> NDArray[np.int64]:
        known = [numbers.get(text, silence) for text in source.store.instructions]
        index = source.store.instruction_index[: source.episodes]
        return np.array([*known, silence], np.int64)[index]  # -1, nothing said, is the last

    return np.concatenate([of(source) for source in sources])


def _told(source: Source) -> NDArray[np.int64]:
    """(n,) what the episodes that teach or are validated were told, as in the store."""
    teaches = (source.sigma_min < np.inf) | (source.sigma_max > 0)
    seen = (source.taught | source.held_out) & teaches & (source.weight != 0)
    told: NDArray[np.int64] = source.store.instruction_index[: source.episodes][seen]
    return told


def _texts(source: Source) -> list[str]:
    return [source.store.instructions[i] for i in np.unique(_told(source)) if i >= 0]


def _check_table(path: str, texts: Sequence[str], sources: Sequence[Source]) -> None:
    known = set(texts)
    for source in sources:
        missing = [text for text in _texts(source) if text not in known]
        if missing:
            raise SettingsError(
                f"language.table = {path} has no vector for '{missing[0]}'"
                f"{f' and {len(missing) - 1} other texts' if len(missing) > 1 else ''}, which "
                f"episodes of source '{source.name}' were told. Add it to the table, whose "
                f"{len(texts)} texts must be spelt as in the stores."
            )


def _check_silence(vocabulary: Vocabulary, sources: Sequence[Source]) -> None:
    """Refuse rollouts that say nothing where every demonstration was told something."""
    told = np.concatenate([np.empty(0, np.int64), *(_told(source) for source in sources)])
    if vocabulary.said is None and len(told) and (told >= 0).all():
        shown = "', '".join(vocabulary.texts[:5])
        raise SettingsError(
            "task.instruction is null, but every episode of the task was told something: rollouts "
            "that say nothing would be like nothing the policy has seen. Set task.instruction to "
            f"one of '{shown}'{' ...' if len(vocabulary.texts) > 5 else ''}."
        )
