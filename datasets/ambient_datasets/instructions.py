"""The instructions of a mixture's episodes, as numbers of a policy's vocabulary."""

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
    """The instructions that a policy learns to follow, with their rows; None if it follows
    none.

    Args:
        language: whether and how instructions reach it.
        task: the world it acts in, and what rollouts say there.
        sources: of the mixture. Also those that teach nothing say what it must know, so that all
            arms of a comparison make the same policy.

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

    Where nothing was said it is ``vocabulary.silence``.
    """
    numbers = {text: i for i, text in enumerate(vocabulary.texts)}

    def of(source: Source) -> NDArray[np.int64]:
        # texts of episodes beyond max_episodes are in no vocabulary, and nobody asks for them;
        # -1, no instruction, is the last
        known = [numbers.get(text, -1) for text in source.store.instructions]
        return np.array([*known, vocabulary.silence], np.int64)[_index(source)]

    return np.concatenate([of(source) for source in sources])


def _index(source: Source) -> NDArray[np.int64]:
    """(E,) the number of each episode's text in the store."""
    index: NDArray[np.int64] = source.store.instruction_index[: source.episodes]
    return index


def _texts(source: Source) -> list[str]:
    return [source.store.instructions[i] for i in np.unique(_index(source)) if i >= 0]


def _check_table(path: str, texts: Sequence[str], sources: Sequence[Source]) -> None:
    known = set(texts)
    for source in sources:
        missing = [text for text in _texts(source) if text not in known]
        if missing:
            raise SettingsError(
                f"language.table = {path} has no vector for '{missing[0]}'"
                f"{f' and {len(missing) - 1} other texts' if len(missing) > 1 else ''}, which "
                f"episodes of source '{source.name}' have. Add it to the table, whose "
                f"{len(texts)} texts must be spelt as in the stores."
            )


def _check_silence(vocabulary: Vocabulary, sources: Sequence[Source]) -> None:
    """Refuse rollouts that say nothing where every demonstration was told something."""
    index = np.concatenate([np.empty(0, np.int64), *(_index(source) for source in sources)])
    if vocabulary.said is None and len(index) and (index >= 0).all():
        shown = "', '".join(vocabulary.texts[:5])
        raise SettingsError(
            "task.instruction is null, but every episode of the task has an instruction: rollouts "
            "that say nothing would be like nothing the policy has seen. Set task.instruction to "
            f"one of '{shown}'{' ...' if len(vocabulary.texts) > 5 else ''}."
        )
