"""Instructions in natural language: kept with their episodes, whole or not at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.store import (
    Appender,
    Attributes,
    Episode,
    append_episode,
    create_store,
    open_store,
    update_extra,
)
from ambient_policy.errors import DataError
from tests.datasets.test_store import crash_everywhere

Describe = Callable[..., Attributes]
TEXTS = ["push the T", None, "schiebe das ä", "push the T", ""]


def say(text: str | None, length: int = 2) -> Episode:
    return Episode(
        np.ones((length, 3), np.float32), np.ones((length, 2), np.float32), instruction=text
    )


def stored_texts(path: Path) -> list[str | None]:
    store = open_store(path)
    return [store.instruction(episode) for episode in range(len(store))]


@pytest.fixture
def path(tmp_path: Path, describe: Describe) -> Path:
    create_store(tmp_path / "a.zarr", describe())
    appender = Appender(tmp_path / "a.zarr")
    for text in TEXTS:
        appender.append(say(text))
    return tmp_path / "a.zarr"


def test_every_episode_keeps_its_own(path: Path) -> None:
    assert stored_texts(path) == TEXTS
    assert open_store(path).instructions == ("push the T", "schiebe das ä", "")
    append_episode(path, say("push the T"))
    assert stored_texts(path) == [*TEXTS, "push the T"] and len(open_store(path).instructions) == 3


def test_other_attributes_changed_meanwhile_stay(path: Path) -> None:
    appender = Appender(path)
    update_extra(path, discarded=3)
    appender.append(say("new"))
    assert open_store(path).attributes.extra == {"discarded": 3}


def test_an_append_stopped_at_any_write_tells_nothing_wrong(path: Path) -> None:
    def check(done: bool) -> None:
        assert stored_texts(path) == [*TEXTS, *["new"] * done]

    assert crash_everywhere(lambda: append_episode(path, say("new")), check) >= 6
    assert open_store(path).instructions == ("push the T", "schiebe das ä", "", "new")


def test_a_store_from_before_stays_readable(path: Path) -> None:
    shutil.rmtree(path / "meta/instruction")
    attributes = json.loads((path / "zarr.json").read_text())
    del attributes["attributes"]["instructions"]
    (path / "zarr.json").write_text(json.dumps(attributes))
    append_episode(path, say(None))
    assert stored_texts(path) == [None] * 6
    with pytest.raises(DataError, match="made before episodes had instructions. Write a new store"):
        append_episode(path, say("push"))
    assert stored_texts(path) == [None] * 6


def test_a_lost_chunk_is_told(path: Path) -> None:
    (path / "meta/instruction/c/0").unlink()
    with pytest.raises(DataError, match="meta/instruction: episode 0: -2, but.*chunk file is lost"):
        open_store(path)


@pytest.mark.parametrize("texts", ["abc", None, ["a"], ["a", "a", "b"], ["a", 1, "b"], {}])
def test_texts_that_do_not_fit_are_refused(path: Path, texts: Any) -> None:
    attributes = json.loads((path / "zarr.json").read_text())
    attributes["attributes"]["instructions"] = texts
    (path / "zarr.json").write_text(json.dumps(attributes))
    with pytest.raises(DataError, match=f"{path}: (attribute 'instructions'|meta/instruction): "):
        open_store(path)


@pytest.mark.parametrize("text", [3, b"push", "\ud800"])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(DataError, match="instruction is .*give text that UTF-8 can hold, or None"):
        say(text)
