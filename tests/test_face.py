"""``import ambient_policy as ap``: light, complete, typed."""

import subprocess
import sys
from pathlib import Path

import pytest

import ambient_policy as ap


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_it_loads_no_torch_and_little_else() -> None:
    code = "import sys; before = {*sys.modules}; import ambient_policy as ap; "
    code += (
        "print(*({m.split('.')[0] for m in sys.modules} & {'torch', 'numpy', 'zarr', 'hydra'})); "
    )
    code += "ap.Source; ap.SettingsError; print('torch' in sys.modules)"
    assert _python(code) == "\nFalse\n"


def test_it_is_imported_in_a_third_of_a_second() -> None:
    code = "from time import process_time as t; a = t(); import ambient_policy; print(t() - a)"
    assert min(float(_python(code)) for _ in range(3)) < 0.3  # of the processor: others run too


def test_every_name_is_there_and_documented() -> None:
    own = {"annotate", "compare", "compose", "describe", "evaluate"}
    assert {*ap.__all__} == {*ap._homes(), *own}
    assert [name for name in ap.__all__ if not getattr(ap, name).__doc__] == []
    assert {*ap.__all__} <= {*dir(ap)}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ap.nothing


def test_the_package_of_the_loop_can_be_called_whoever_imports_it_first() -> None:
    for first in ("import ambient_policy.training.loop as loop", "pass"):
        code = f"{first}; import ambient_policy as ap; print(callable(ap.training))"
        assert _python(code) == "True\n"


def test_compose_is_the_command_line(own_folder: Path) -> None:
    run = ap.compose("experiment=maze", "arm=ambient", "seed=3")
    assert (run.experiment, run.label, run.seed) == ("maze", "ambient", 3)
    run = ap.compose("experiment=maze", "training=mine", config_dir=str(own_folder))
    assert run.training.steps == 7
    with pytest.raises(ap.SettingsError, match="Did you mean 'seed'"):
        ap.compose("seeed=3")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of configs with one choice; the environment is given back."""
    monkeypatch.setenv("AMBIENT_POLICY_CONFIGS", "")
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "mine.yaml").write_text("steps: 7\n")
    return tmp_path


def test_words_are_typed_and_become_members() -> None:
    """The checks of types read this file: a word is allowed wherever a member is."""
    good = ap.Source("good.zarr", trust="trusted")
    run = ap.Run(sources={"good": good}, arm=ap.Arm(suboptimal="above"), tables="disk")
    assert run.sources["good"].trust is ap.Trust.trusted
    assert (run.arm.suboptimal.name, run.tables.name) == ("above", "disk")
    assert ap.Jobs("ray", workers=2).where.name == "ray"
    with pytest.raises(ap.SettingsError, match="Did you mean 'trusted'"):
        ap.Source("good.zarr", trust="trustd")
