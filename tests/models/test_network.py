import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.config import NetworkConfig
from models.nets.encoders import Encoded
from models.nets.encoders.image import ColourHistogram, ImageEncoder, pool
from models.nets.network import EncodedBatch, Network
from tests.tiny import picture, tiny_network

NAN = float("nan")


@pytest.fixture(scope="module")
def network() -> Network:
    return tiny_network()


# Encoders


def test_a_text_has_the_same_vector_alone_and_beside_longer_ones(network: Network) -> None:
    rows = [[5, 6, 7, 8, 9, 10, 11], [12], [5, 6, 13]]
    ids = torch.zeros(3, 7, dtype=torch.int64)
    for row, own in zip(ids, rows, strict=True):
        row[: len(own)] = torch.tensor(own)
    with torch.inference_mode():
        together = network.encode("text", {"ids": ids, "lengths": torch.tensor([7, 1, 3])})
        alone = [
            network.encode("text", {"ids": torch.tensor([own]), "lengths": torch.tensor([len(own)])})
            for own in rows
        ]
    torch.testing.assert_close(
        together.vector_nD, torch.cat([part.vector_nD for part in alone]), rtol=0, atol=1e-5
    )


def test_what_stands_in_the_padding_never_counts(network: Network) -> None:
    lengths = torch.tensor([2])
    with torch.inference_mode():
        plain = network.encode("text", {"ids": torch.tensor([[5, 6, 0, 0]]), "lengths": lengths})
        filled = network.encode("text", {"ids": torch.tensor([[5, 6, 40, 41]]), "lengths": lengths})
    assert torch.equal(plain.vector_nD, filled.vector_nD)


def test_the_order_of_words_counts(network: Network) -> None:
    lengths = torch.tensor([3, 3])
    with torch.inference_mode():
        ids = torch.tensor([[5, 6, 7], [7, 6, 5]])
        first, second = network.encode("text", {"ids": ids, "lengths": lengths}).vector_nD
    assert (first - second).abs().max() > 1e-3


def test_an_image_has_the_same_vector_alone_and_in_a_batch(network: Network) -> None:
    pixels = torch.from_numpy(np.stack([picture(seed) for seed in range(3)]))
    with torch.inference_mode():
        together = network.encode("image", {"pixels": pixels}).vector_nD
        alone = torch.cat(
            [network.encode("image", {"pixels": pixels[row : row + 1]}).vector_nD for row in range(3)]
        )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_lower_and_the_upper_half_are_the_whole(network: Network) -> None:
    encoder = network.encoders["image"]
    assert isinstance(encoder, ImageEncoder)
    pixels = torch.from_numpy(picture(0)[None])
    with torch.inference_mode():
        torch.testing.assert_close(encoder.upper(encoder.lower(pixels)).vector_nD, encoder(pixels).vector_nD)


def test_batch_norm_keeps_its_pretrained_statistics_in_training() -> None:
    encoder = tiny_network().encoders["image"]
    assert isinstance(encoder, ImageEncoder)
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    encoder.train()
    encoder(torch.from_numpy(np.stack([picture(seed) for seed in range(3)])))
    assert all(torch.equal(value, before[name]) for name, value in encoder.named_buffers())


def test_pooling_takes_the_mean_of_the_whole_and_of_the_middle_half() -> None:
    cells = torch.zeros(1, 1, 4, 4)
    cells[0, 0, 1:3, 1:3] = 8.0  # 4 of 16 cells, and the middle is all of them
    assert [part.item() for part in pool(cells)] == [2.0, 8.0]


def histogram(*colours: tuple[int, int, int]) -> np.ndarray:
    pixels = torch.tensor(colours, dtype=torch.float32).T.reshape(1, 3, 1, len(colours))
    return ColourHistogram(2)(pixels.expand(1, 3, len(colours), len(colours)))[0].numpy() ** 2


def test_a_pixel_of_a_bin_s_own_colour_counts_there_alone() -> None:
    shares = histogram((255, 0, 0))
    np.testing.assert_allclose(shares, [0, 0, 0, 0, 1, 0, 0, 0], atol=1e-5)  # bin 4 is red 1, green 0, blue 0


def test_a_pixel_between_two_colours_is_shared_and_shares_sum_to_one() -> None:
    shares = histogram((255, 0, 0), (255, 51, 0))  # a fifth of the second one's green
    np.testing.assert_allclose(shares, [0, 0, 0, 0, 0.9, 0, 0.1, 0], atol=1e-5)


# Network


def test_embeddings_have_unit_norm_even_for_a_vector_of_zeros(network: Network) -> None:
    network.embedding.bias.data.zero_()
    vectors = torch.stack([torch.randn(2, 16), torch.zeros(2, 16)])
    with torch.inference_mode():
        output = network.fuse(EncodedBatch(vectors), torch.ones(2, 2, dtype=torch.bool))
    assert output.embedding_BE[0].norm().item() == pytest.approx(1, abs=1e-6)
    assert torch.isfinite(output.embedding_BE).all()


@given(st.sampled_from([0.0, 1e20, NAN, float("inf")]), st.integers(0, 1))
def test_an_absent_modality_never_changes_a_score_or_an_embedding(garbage: float, absent: int) -> None:
    network = tiny_network()
    vectors, present = torch.randn(2, 2, 16), torch.ones(2, 2, dtype=torch.bool)
    present[0, absent] = False
    filled = vectors.clone()
    filled[0, absent] = garbage
    with torch.inference_mode():
        plain, other = (network.fuse(EncodedBatch(part), present) for part in (vectors, filled))
    assert torch.equal(plain.embedding_BE, other.embedding_BE)
    assert all(torch.equal(plain.logits[head], other.logits[head]) for head in network.heads)


def test_vectors_are_gathered_at_the_items_that_they_belong_to(network: Network) -> None:
    present = torch.tensor([[False, True], [True, False], [True, True]])
    images, texts = torch.full((2, 16), 1.0), torch.stack([torch.full((16,), 2.0), torch.full((16,), 3.0)])
    vectors = network.gather({"image": Encoded(images), "text": Encoded(texts)}, present).vectors_BMD
    assert vectors[:, :, 0].tolist() == [[0, 2], [1, 0], [1, 3]]


def test_tokens_are_gathered_with_their_owner_and_absent_items_have_none(network: Network) -> None:
    present = torch.tensor([[False, True], [True, True]])
    image = Encoded(torch.zeros(1, 16), torch.full((1, 2, 16), 5.0), torch.tensor([[True, True]]))
    text = Encoded(torch.zeros(2, 16), torch.full((2, 1, 16), 7.0), torch.tensor([[True], [True]]))
    tokens = network.gather({"image": image, "text": text}, present).tokens
    assert tokens is not None
    assert tokens.owner_BS.tolist() == [[0, 0, 1]] * 2
    assert tokens.valid_BS.tolist() == [[False, False, True], [True, True, True]]
    assert tokens.values_BSD[:, :, 0].tolist() == [[0, 0, 7], [5, 5, 7]]


@pytest.mark.parametrize("only", ["image", "text"])
def test_a_network_of_one_modality_is_a_network(only: str) -> None:
    other = {"image": "text", "text": "image"}[only]
    network = tiny_network(NetworkConfig.tiny().model_copy(update={other: None}))
    assert network.modalities == (only,)
    with torch.inference_mode():
        output = network.fuse(EncodedBatch(torch.randn(3, 1, 16)), torch.ones(3, 1, dtype=torch.bool))
    assert output.logits["shape"].shape == (3, 3)
    assert output.embedding_BE.shape == (3, 8)


@pytest.mark.parametrize(("frozen_blocks", "colour_bins"), [(0, 3), (1, 0), (99, 2)])
def test_encoders_with_all_or_no_frozen_blocks_or_no_histogram_run(frozen_blocks: int, colour_bins: int) -> None:
    config = NetworkConfig.tiny()
    assert config.image is not None
    image = config.image.model_copy(update={"frozen_blocks": frozen_blocks, "colour_bins": colour_bins})
    network = tiny_network(config.model_copy(update={"image": image}))
    with torch.inference_mode():
        vectors = network.encode("image", {"pixels": torch.from_numpy(picture(0)[None])}).vector_nD
    assert torch.isfinite(vectors).all()
