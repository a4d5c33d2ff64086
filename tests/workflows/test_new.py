"""``ambient-policy new``: a template that trains."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ambient_policy.cli import main, perform
from ambient_policy.errors import SettingsError
from ambient_policy.settings import Trust
from ambient_policy.workflows.configs import OWN
from ambient_policy.workflows.settings import compose
from tests.workflows.tiny import TINY


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user stands in a folder of his own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(OWN, "")


def test_it_trains_on_two_stores_of_ones_own(
    tmp_path: Path, make_store: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "mine"]) == 0
    assert "ambient-policy train --config-dir configs experiment=mine" in capsys.readouterr().out
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").symlink_to(tmp_path)
    make_store("good")
    make_store("jerky", episodes=5)
    short = [*TINY, "training.validation.every=1", "network.encoders.state.layers=[16]"]
    assert main(["train", "--config-dir", "configs", "experiment=mine", *short]) == 0
    assert (tmp_path / "runs/mine/ambient/seed-0/checkpoints").is_dir()


def test_it_composes_with_every_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    perform("new", ["pick_cups", "own"])
    monkeypatch.setenv(OWN, str(tmp_path / "own"))
    for arm in ("ambient", "ambient_locality", "cotrain", "reweighted", "exclusive", "target_only"):
        run = compose("train", ["experiment=pick_cups", f"arm={arm}"])
        assert [source.trust for source in run.sources.values()] == [
            Trust.trusted,
            Trust.suboptimal,
        ]
        assert run.folder == f"runs/pick_cups/{arm}/seed-0"


def test_it_overwrites_nothing(tmp_path: Path) -> None:
    perform("new", ["mine"])
    file = tmp_path / "configs/experiment/mine.yaml"
    file.write_text("mine")
    with pytest.raises(SettingsError, match="exists already; edit it"):
        perform("new", ["mine"])
    assert file.read_text() == "mine"


@pytest.mark.parametrize("words", [[], ["a/b"], ["a b"], ["a", "b", "c"], ["../up"]])
def test_it_needs_a_plain_name(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="give a name of letters"):
        perform("new", words)
    assert list(tmp_path.iterdir()) == []
