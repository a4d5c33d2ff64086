"""What episodes were told, as numbers of the policy's vocabulary."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ambient_datasets.instructions import build_vocabulary, number_instructions
from ambient_datasets.source import Source
from ambient_datasets.store import Attributes, Episode
from ambient_datasets.windows import Windows
from ambient_policy.batch import INSTRUCTION, Draw
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.horizons import Horizons
from ambient_policy.language import Vocabulary, one_hot, read_embeddings
from ambient_policy.settings import Language, LanguageSettings, TaskSettings, Trust
from tests.datasets.mixtures import join_sources, make_source
from tests.datasets.stores import write_store

SAID = {
    "bridge": ("put it down", "lift it", None, "put it down"),
    "kitchen": ("wipe", "lift it"),
    "refused": ("never", "lift it"),
}
ONE_HOT = LanguageSettings(Language.one_hot)
TASK = TaskSettings(id="bridge", instruction="lift it")


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    made = []
    for name, texts in SAID.items():
        attributes = Attributes(name, name, 10.0, ("x",), ("m",), ("u",), ("m",))
        episodes = [
            Episode(ones, ones, instruction=text)
            for i, text in enumerate(texts)
            for ones in [np.ones((i + 2, 1), np.float32)]
        ]
        store = write_store(tmp_path / f"{name}.zarr", attributes, episodes)
        trust = Trust.rejected if name == "refused" else Trust.trusted
        made.append(make_source(name, store, trust=trust))
    return made


def table(path: Path, *texts: str, width: int = 3) -> LanguageSettings:
    vectors = {t: np.full(width, i + 1, np.float32) for i, t in enumerate(texts)}
    save_file(vectors, path)
    return LanguageSettings(Language.embedding, str(path))


def test_one_hot_of_the_texts_of_all_sources_whatever_an_arm_trusts(sources: list[Source]) -> None:
    built = build_vocabulary(ONE_HOT, TASK, sources)
    assert built is not None
    vocabulary, rows = built
    assert vocabulary.texts == ("lift it", "never", "put it down", "wipe")
    assert vocabulary.said == "lift it"
    np.testing.assert_array_equal(rows, np.vstack([np.eye(4), np.zeros(4)]))
    numbers = number_instructions(sources, vocabulary)
    assert numbers.tolist() == [2, 0, 4, 2, 3, 0, 1, 0]
    assert (vocabulary.number("wipe"), vocabulary.number(None)) == (3, 4)


def test_every_drawn_row_has_the_text_of_its_own_episode(sources: list[Source]) -> None:
    built = build_vocabulary(ONE_HOT, TASK, sources)
    assert built is not None
    mixture = join_sources(sources)
    labels = {INSTRUCTION: number_instructions(sources, built[0])}
    draw = Draw(np.arange(len(mixture)), np.ones(len(mixture)), np.zeros(len(mixture)))
    seen = Windows(mixture, Horizons(2, 4, 2), 0, labels=labels).gather(draw).observations
    told = [text for s in sources for i, t in enumerate(SAID[s.name]) for text in [t] * (i + 2)]
    assert seen[INSTRUCTION].tolist() == [built[0].number(text) for text in told]


def test_embeddings_are_those_of_the_table(sources: list[Source], tmp_path: Path) -> None:
    settings = table(tmp_path / "t", "wipe", "lift it", "put it down", "never", "never said")
    built = build_vocabulary(settings, TaskSettings(id="bridge", instruction="never said"), sources)
    assert built is not None
    vocabulary, rows = built
    assert vocabulary.texts == ("lift it", "never", "never said", "put it down", "wipe")
    np.testing.assert_array_equal(rows[:, 0], [2, 4, 5, 3, 1, 0])
    other = table(tmp_path / "u", "lift it", "wipe", "put it down", "never", "never said")
    again = build_vocabulary(other, TASK, sources)
    assert again is not None and again[0].fingerprint != vocabulary.fingerprint


def test_refusals(sources: list[Source], tmp_path: Path) -> None:
    assert build_vocabulary(LanguageSettings(), TaskSettings(id="bridge"), sources) is None
    with pytest.raises(SettingsError, match=r"'lift' is none of the 4 .*nearest are 'lift it', "):
        build_vocabulary(ONE_HOT, TaskSettings(id="bridge", instruction="lift"), sources)
    with pytest.raises(SettingsError, match=r"no vector for 'wipe', which episodes of .*'kitchen'"):
        build_vocabulary(table(tmp_path / "t", "lift it", "put it down"), TASK, sources)
    silent = TaskSettings(id="kitchen")
    with pytest.raises(
        SettingsError, match=r"task.instruction is null, but every .*'lift it', 'never', 'put"
    ):
        build_vocabulary(ONE_HOT, silent, sources)
    some = build_vocabulary(ONE_HOT, TaskSettings(id="bridge"), sources)  # one was told nothing
    assert some is not None and some[0].said is None
    with pytest.raises(SettingsError, match=r"no episode has an instruction"):
        one_hot(())
    with pytest.raises(
        SettingsError, match=r"language.table = None with language.kind = embedding"
    ):
        LanguageSettings(Language.embedding)
    with pytest.raises(SettingsError, match=r"language.table = x with language.kind = one_hot"):
        LanguageSettings(Language.one_hot, "x")


def test_tables_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"language.table = .*nowhere cannot be read"):
        read_embeddings(str(tmp_path / "nowhere"))
    (tmp_path / "garbage").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"garbage cannot be read as safetensors"):
        read_embeddings(str(tmp_path / "garbage"))
    for vectors, text in (
        ({}, "holds no text"),
        ({"a": np.ones(3, np.float32), "b": np.ones(2, np.float32)}, r"'b' has shape \(2,\); give"),
        ({"a": np.ones((2, 2), np.float32)}, r"'a' has shape \(2, 2\); give"),
        ({"a": np.array([np.nan], np.float32)}, "'a' .* holds NaN or infinity"),
    ):
        save_file(vectors, tmp_path / "t")
        with pytest.raises(DataError, match=text):
            read_embeddings(str(tmp_path / "t"))
    rows = one_hot(("a", "b"))
    assert Vocabulary.of(("a", "b"), rows, None).silence == 2
