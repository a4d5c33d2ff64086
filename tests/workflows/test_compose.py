"""What the command line may say beyond the keys that the configs have."""

import pytest

from ambient_policy.cli import perform
from ambient_policy.errors import SettingsError
from ambient_policy.settings import EncoderSettings, Trust
from ambient_policy.workflows import annotation as annotate  # noqa: F401  these register their settings
from ambient_policy.workflows import plot as plot
from ambient_policy.workflows.settings import CONFIGS, compose

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


@pytest.mark.parametrize(
    "override", ["state=[a", "cameras={a", "instruction='it''s'", 'instruction="half']
)
def test_half_lists_mappings_and_quotes_are_refused(override: str) -> None:
    with pytest.raises(
        SettingsError, match=r"no list, mapping or quoted text that can be read"
    ) as e:
        compose("convert", [*LIFT, override])
    assert str(e.value).startswith(override.replace("=", " = ", 1))


@pytest.mark.parametrize(
    ("config", "override"),
    [
        ("train", "observations.low=[0]"),
        ("train", "cameras.front=x"),
        ("evaluate", "cameras.front=x"),
        ("annotate", "observations.a=x"),
        ("convert", "network.encoders.top.layers=[8]"),
        ("convert", "observations.a=x"),
        ("convert", "+sources.a={path: x}"),
    ],
)
def test_names_may_be_invented_only_where_a_config_has_them(config: str, override: str) -> None:
    words = {"evaluate": ["run=x"], "annotate": ["source=x"], "convert": LIFT}.get(config, [])
    with pytest.raises(SettingsError, match=r"unknown setting"):
        compose(config, [*words, override])


def test_where_it_has_them_they_need_no_plus() -> None:
    cameras = compose("convert", [*LIFT, "cameras.front=a", "cameras={side: b}"]).cameras
    assert cameras == {"front": "a", "side": "b"}
    assert compose("train", ["task.kwargs.colour=red"]).task.kwargs["colour"] == "red"


@pytest.mark.parametrize("config", ["annotate", "plot"])
@pytest.mark.parametrize("data", sorted(path.stem for path in (CONFIGS / "data").glob("*.yaml")))
def test_every_data_config_can_be_annotated_and_plotted(config: str, data: str) -> None:
    settings = compose(config, [f"data={data}", "source=x", *(["out=x.png"] * (config == "plot"))])
    trained = compose("train", [f"data={data}", "arm=as_is"])
    assert list(settings.all_sources()) == list(trained.sources)


def test_a_conversion_follows_one_description_of_its_source() -> None:
    with pytest.raises(SettingsError, match=r"openx= and recipe= both say"):
        perform("convert", [*LIFT, "openx=bridge_dataset"])
