import pytest
from pydantic import ValidationError

from models.calibration import subset_name
from models.config import ClassificationHead, ImageEncoder, NetworkConfig, Preprocessing, RecurrentTextEncoder
from models.errors import ConfigError


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"net\.toml is not valid: widht: unknown key; did you mean 'width'\?"):
        NetworkConfig.parse({"text": {}, "widht": 3}, "net.toml")


def test_an_unknown_key_of_a_table_names_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"image\.side_xp: unknown key; did you mean 'side_px'\?"):
        Preprocessing.parse({"image": {"side_xp": 64}}, "x")


def test_a_key_that_is_like_no_other_is_to_be_removed() -> None:
    with pytest.raises(ConfigError, match="zzz: unknown key; remove it"):
        Preprocessing.parse({"zzz": 1}, "x")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        NetworkConfig.parse({"text": {"hidden": 0}, "width": "wide", "fusoin": "add"}, "x")
    assert all(part in str(caught.value) for part in ("text.hidden", "width", "did you mean 'fusion'"))


def test_configuration_is_frozen() -> None:
    config = NetworkConfig.tiny()
    with pytest.raises(ValidationError, match="frozen"):
        config.width = 3


def test_a_network_without_an_encoder_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one of: image, text"):
        NetworkConfig.parse({}, "x")


@pytest.mark.parametrize(
    ("parts", "modalities"),
    [
        ({"text": RecurrentTextEncoder()}, ("text",)),
        ({"image": ImageEncoder()}, ("image",)),
        ({"text": RecurrentTextEncoder(), "image": ImageEncoder()}, ("image", "text")),
    ],
)
def test_modalities_are_those_with_an_encoder_in_a_fixed_order(
    parts: dict[str, object], modalities: tuple[str, ...]
) -> None:
    assert NetworkConfig(**parts).modalities == modalities


def test_what_a_caption_reads_is_named_as_subsets_are() -> None:
    """Captions are measured by the subset of what they read: `text+image` is none."""
    reads = NetworkConfig.tiny_caption(reads=["text", "image"]).caption.reads  # type: ignore[union-attr]
    assert subset_name(reads) == "image+text"


def test_a_head_needs_two_labels() -> None:
    with pytest.raises(ValidationError, match="at least 2"):
        ClassificationHead(labels=("only",))


def test_a_config_survives_json() -> None:
    config = NetworkConfig.tiny()
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config
