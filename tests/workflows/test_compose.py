"""What the command line may say beyond the keys that the configs have."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ambient_policy.errors import SettingsError
from ambient_policy.settings import EncoderSettings, Trust
from ambient_policy.workflows.configs import CONFIGS
from ambient_policy.workflows.settings import compose

CAMERA = "experiment=maze_camera"
LIFT = ("recipe=robosuite_lift", "path=x", "out=y")


@pytest.mark.parametrize(
    "words",
    [
        ["sources.more={path: x, trust: trusted}"],
        ["+sources.more={path: x, trust: trusted}"],
        ["+sources={more: {path: x, trust: trusted}}"],
        ["sources.more.path=x", "sources.more.trust=trusted"],
    ],
)
def test_sources_are_added_by_a_name_of_the_users(words: list[str]) -> None:
    sources = compose("train", [CAMERA, *words]).sources
    assert list(sources) == ["trusted", "suboptimal", "more"]
    assert (sources["more"].path, sources["more"].trust) == ("x", Trust.trusted)


@pytest.mark.parametrize(
    "word", ["network.encoders.top.crop=[84, 84]", "network.encoders={top: {crop: [84, 84]}}"]
)
def test_encoders_are_added_by_the_name_of_their_part(word: str) -> None:
    encoders = compose("train", [CAMERA, word]).network.encoders
    assert encoders["top"] == EncoderSettings(crop=[84, 84]) and "state" in encoders


def test_attributes_of_a_source_are_given_one_by_one_or_together() -> None:
    one = compose("train", ["experiment=maze", "sources.trusted.attributes.task=t"])
    all_of_them = compose("train", ["experiment=maze", "sources.trusted.attributes={task: t}"])
    assert (
        one.sources["trusted"].attributes
        == {"task": "t"}
        == (all_of_them.sources["trusted"].attributes)
    )


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("network.encoders.tip.crop=[8, 8]", "'tip'; known: state, top. Did you mean 'top'"),
        ("network.encoders.top.crap=[8, 8]", "'network.encoders.top.crap'; network.encoders.top"),
        ("+sources.more={pth: x}", "unknown setting 'sources.more.pth'; sources.more has"),
        ("sources.more.pth=x", "'sources.more.pth'; sources.more has action_key"),
    ],
)
def test_what_they_do_not_have_is_refused(override: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compose("train", [CAMERA, override])
    assert text in str(caught.value)


@pytest.mark.parametrize("text", ["state[t+1]", 'say "when" (now)', "a, b = c", "50 % {", "~/a b"])
def test_any_text_stands_in_quotes_of_its_own(text: str) -> None:
    assert compose("convert", [*LIFT, f"recipe.instruction='{text}'"]).recipe.instruction == text


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("recipe.instruction=state[t+1]", "'recipe.instruction=\"state[t+1]\"'"),
        ("out=~/data", "'out=\"~/data\"'"),
        ("recipe.state=[a", "Close every bracket"),
        ("recipe.cameras={a", "Close every bracket"),
        ("recipe.instruction='it''s'", "quotes of their own"),
        ('recipe.instruction="half', "quotes of their own"),
    ],
)
def test_what_hydra_cannot_read_says_how_to_quote(override: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as caught:
        compose("convert", [*LIFT, override])
    assert str(caught.value).startswith(f"{override} cannot be read.")
    assert remedy in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "override"),
    [
        ("train", "observations.low=[0]"),
        ("evaluate", "cameras.front=x"),
        ("annotate", "observations.a=x"),
        ("convert", "network.encoders.top.layers=[8]"),
        ("convert", "observations.a=x"),
        ("convert", "+sources={a: {path: x}}"),
    ],
)
def test_names_may_be_invented_only_where_a_config_has_them(config: str, override: str) -> None:
    words = {"evaluate": ["run=x"], "annotate": ["source=x"], "convert": LIFT}.get(config, [])
    with pytest.raises(SettingsError, match=r"unknown setting"):
        compose(config, [*words, override])


def test_a_list_has_no_names() -> None:
    with pytest.raises(SettingsError, match=r"A list has no entry 'front'; give it whole"):
        compose("train", ["cameras.front=x"])


def test_where_it_has_them_they_need_no_plus() -> None:
    settings = compose("convert", [*LIFT, "recipe.cameras.front=a", "recipe.cameras={side: b}"])
    assert settings.recipe.cameras == {"front": "a", "side": "b"}
    kwargs = compose("train", ["task.kwargs.colour=red", "+task.kwargs.size=3"]).task.kwargs
    assert (kwargs["colour"], kwargs["size"]) == ("red", 3)


def test_the_users_own_configs_are_in_front_of_ours(
    own_configs: Callable[[str, str], None], tmp_path: Path
) -> None:
    own_configs("training/mine.yaml", "steps: 7")
    own_configs("arm/ambient.yaml", "# @package _global_\nlabel: my ambient\n")
    settings = compose("train", ["experiment=maze", "training=mine", "network=medium"])
    assert (settings.training.steps, settings.label) == (7, "my ambient")
    assert settings.network.widths == [64, 128, 256]  # and ours are there beside them
    with pytest.raises(SettingsError, match=r"known: maze, mine, pusht, quick"):
        compose("train", ["training=mien"])


@pytest.mark.parametrize("config", ["annotate", "plot"])
@pytest.mark.parametrize("data", sorted(path.stem for path in (CONFIGS / "data").glob("*.yaml")))
def test_every_data_config_can_be_annotated_and_plotted(config: str, data: str) -> None:
    more = {"annotate": ["sigma_min=0.1", "sigma_max=0"], "plot": ["out=x.png"]}[config]
    words = [f"data={data}", *(["sources.demonstrations.path=x"] * (data == "converted"))]
    sources = compose("train", words).sources
    settings = compose(config, [*words, f"source={next(iter(sources), 'x')}", *more])
    assert settings.sources == sources


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            "!!python/object/apply:os.system [exit]\n",
            "could not determine a constructor for the tag",
        ),
        ("a: [1,\n", "while parsing"),
        ("\0", "special characters are not allowed"),
    ],
)
def test_a_config_that_is_no_plain_yaml(
    own_configs: Callable[[str, str], None], text: str, part: str
) -> None:
    own_configs("experiment/own.yaml", text)
    with pytest.raises(SettingsError, match=f"a config cannot be read: .*{part}.*own.yaml"):
        compose("train", ["experiment=own"])


@pytest.mark.parametrize("word", ["inf", ".inf"])
def test_infinity_as_yaml_writes_it_is_infinity(word: str) -> None:
    settings = compose(
        "train", ["experiment=maze", f"tuned.sigma_min={word}", f"loss.s_max={word}"]
    )
    assert settings.tuned.sigma_min == settings.loss.s_max == float("inf")
