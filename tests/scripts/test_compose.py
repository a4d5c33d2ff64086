"""What the command line may say beyond the keys that the configs have."""

import pytest

import convert  # noqa: F401  registers its settings
from ambient_policy.errors import SettingsError
from ambient_policy.settings import EncoderSettings, Trust
from compose import compose

CAMERA = "experiment=maze_camera"
LIFT = ("recipe=robosuite_lift", "path=x", "out=y")


def test_settings_objects_go_by_names_that_the_user_gives_them() -> None:
    added = ["network.encoders.top.crop=[84, 84]", "+sources.more={path: x, trust: trusted}"]
    settings = compose("train", [CAMERA, *added])
    assert settings.network.encoders["top"] == EncoderSettings(crop=[84, 84])
    assert list(settings.sources) == ["trusted", "suboptimal", "more"]
    assert settings.sources["more"].trust is Trust.trusted


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("network.encoders.tip.crop=[8, 8]", "'tip'; known: state, top. Did you mean 'top'"),
        ("network.encoders.top.crap=[8, 8]", "Key 'crap' not in 'EncoderSettings'; it has layers"),
        ("+sources.more={pth: x}", "Key 'pth' not in 'SourceSettings'; it has path"),
        ("sources.more.path=x", "unknown setting 'sources.more.path'"),
    ],
)
def test_what_they_do_not_have_is_refused(override: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compose("train", [CAMERA, override])
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "text", ["state[t+1]", 'say "when" (now)', "a\\b[", "50 % {", "a[\\", '\\"[']
)
def test_text_that_is_no_hydra_grammar_is_text(text: str) -> None:
    assert compose("convert", [*LIFT, f"instruction={text}"]).instruction == text


def test_a_list_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="state"):
        compose("convert", [*LIFT, "state=[a"])
