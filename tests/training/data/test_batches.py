import numpy as np
import pytest
import torch

from models.nets.network import EncodedBatch
from models.preprocess import Preprocessors
from tests.tiny import SIDE_PX, Recorder, tiny_network, tiny_recipe, tiny_tokenizer, write_pairs
from training.augmentation import Augmentation
from training.data.batches import BatchSource
from training.data.image_cache import open_lower_cache
from training.data.pairs import Pairs, label_numbers, label_vocabularies, load_pairs, prepare_pixels, prepare_texts
from training.encode import encode_all, subsets
from training.multitask import multitask_loss
from training.objective_config import Unsaid
from training.plan import Plan
from training.trust import fit_trust
from training.workbench import Workbench

RECIPE = tiny_recipe()
EXTRA = (
    "0.png,the same picture,star,red,train",  # row 24
    ",a blue circle 0,star,red,train",  # row 25: the text of row 0
    "1.png,,star,red,train",  # row 26: the picture of row 1
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    path = write_pairs(tmp_path_factory.mktemp("pairs"))
    path.write_text(path.read_text() + "\n".join(EXTRA) + "\n")
    return load_pairs(path, RECIPE.data.columns, seed=0, val=0.2, test=0.2)


@pytest.fixture(scope="module")
def plan(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    bench = Workbench(tiny_network()).eval()
    cache = open_lower_cache(
        tmp_path_factory.mktemp("cache"),
        bench.network.encoders["image"],  # type: ignore[arg-type]
        key="k",
        num_images=len(pairs.images),
        pixels_of=lambda images: prepare_pixels([pairs.images[i] for i in images], RECIPE.preprocessing),
        mirror=True,
        advance=lambda _: None,
    )
    captions = prepare_texts(pairs, Preprocessors(RECIPE.preprocessing, tiny_tokenizer()))
    labels = label_numbers(pairs, label_vocabularies(pairs, ("shape", "colour")))
    source = BatchSource(pairs, ("image", "text"), labels, cache, captions)
    return Plan(bench, source, RECIPE, 1, Recorder())


def test_who_has_what_is_known(plan: Plan) -> None:
    assert plan.source.present_NM[[0, 25, 26]].tolist() == [[True, True], [False, True], [True, False]]


def test_rows_with_an_equal_text_or_an_equal_image_are_the_same(plan: Plan) -> None:
    rows = np.array([0, 24, 25, 1, 26])
    expected = np.eye(5, dtype=bool)
    for left, right in ((0, 1), (0, 2), (3, 4)):  # equal image, equal text, equal image
        expected[left, right] = expected[right, left] = True
    np.testing.assert_array_equal(plan.source.same(rows).numpy(), expected)


def test_a_batch_holds_only_the_rows_that_have_the_modality(plan: Plan) -> None:
    inputs = plan.source.plain(np.array([25, 0, 26]))
    assert inputs.image is not None
    assert inputs.text is not None
    assert len(inputs.image.map_nCHW) == len(inputs.text.lengths_n) == 2
    assert plan.source.plain(np.array([25])).image is None
    assert plan.source.plain(np.array([26])).text is None


def test_inputs_and_labels_are_where_the_network_is(plan: Plan, pairs: Pairs) -> None:
    # "meta" stands for a card: it has shapes and no values.
    device = torch.device("meta")
    labels = label_numbers(pairs, label_vocabularies(pairs, ("shape", "colour")))
    source = BatchSource(pairs, ("image", "text"), labels, plan.source.cache, plan.source.captions, None, device)
    rows = np.array([0, 3])
    inputs = source.augmented(rows, RECIPE.augmentation, 1, torch.Generator())
    assert inputs.image is not None
    assert inputs.text is not None
    tensors = [*inputs.image, *inputs.text, source.labels_NH, source.present_NM, source.same(rows)]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_training_encodes_what_the_served_network_encodes(plan: Plan, pairs: Pairs) -> None:
    rows = np.array([25, 3, 26])
    with torch.inference_mode():
        found = encode_all(plan.bench.network, plan.source, rows, plan.source.plain(rows)).vectors_BMD
        pixels = prepare_pixels([pairs.images[3], pairs.images[1]], RECIPE.preprocessing)
        images = plan.bench.network.encode("image", {"pixels": torch.from_numpy(pixels)}).vector_nD
        ids = torch.from_numpy(plan.source.captions[3][0])[None]
        text = plan.bench.network.encode("text", {"ids": ids, "lengths": torch.tensor([ids.shape[1]])}).vector_nD
    assert pixels.shape[1] == SIDE_PX
    torch.testing.assert_close(found[[1, 2], 0], images, rtol=0, atol=5e-3)  # maps are cached as float16
    torch.testing.assert_close(found[1, 1], text[0], rtol=0, atol=1e-5)
    assert not found[0, 0].any()
    assert not found[2, 1].any()


def test_equal_generators_draw_equal_batches(plan: Plan) -> None:
    rows, config = np.arange(12), Augmentation(map_mixup=0.5)
    first, second = (plan.source.augmented(rows, config, 1, torch.Generator().manual_seed(4)) for _ in range(2))
    assert first.image is not None
    assert second.image is not None
    assert torch.equal(first.image.map_nCHW, second.image.map_nCHW)
    assert first.text is not None
    assert second.text is not None
    assert torch.equal(first.text.states_nTW, second.text.states_nTW)


def test_each_caption_of_a_row_is_drawn_as_often_and_the_first_where_nothing_is_random(pairs: Pairs) -> None:
    captions = [[np.array([10 * row + caption]) for caption in range(3)] for row in range(len(pairs.records))]
    source = BatchSource(pairs, ("text",), np.zeros((len(captions), 0), dtype=np.int64), None, captions)
    rows, still = np.array([2, 5] * 300), Augmentation(subword_dropout=0)
    drawn = source.augmented(rows, still, 1, torch.Generator().manual_seed(0)).text
    assert drawn is not None
    found, counts = np.unique(drawn.states_nTW.numpy(), return_counts=True)
    assert found.tolist() == [20, 21, 22, 50, 51, 52]
    assert counts.min() > 70  # of 100; five deviations are 41
    plain = source.plain(np.array([2, 5])).text
    assert plain is not None
    assert plain.states_nTW.flatten().tolist() == [20, 50]


def test_subsets_are_all_but_the_empty_one_the_smallest_first() -> None:
    assert subsets(["image", "text"]) == [("image",), ("text",), ("image", "text")]
    assert len(subsets("abc")) == 7


def test_a_subset_is_shown_of_the_rows_that_have_all_of_it_and_masks_the_rest(plan: Plan) -> None:
    source, rows = plan.source, np.arange(6)
    present = source.present_NM[rows]
    keep, mask = source.shown(rows, ("image",))
    assert keep.tolist() == present[:, 0].tolist()
    assert mask[keep].tolist() == [[True, False]] * int(keep.sum())
    keep, _ = source.shown(rows, ("image", "text"))
    assert keep.tolist() == present.all(1).tolist()


def test_where_nothing_is_said_only_rows_of_what_is_then_meant_teach(plan: Plan) -> None:
    pairs, source = plan.source.pairs, plan.source
    usual = pairs.records[0].labels["shape"]
    unsaid = Unsaid(without=("text",), means={"shape": usual})
    other = BatchSource(
        pairs, ("image", "text"), source.labels_NH.numpy(), source.cache, source.captions, unsaid=unsaid
    )
    rows = np.arange(len(pairs.records))
    is_usual = torch.tensor([record.labels["shape"] == usual for record in pairs.records])
    assert 0 < int(is_usual.sum()) < len(rows)
    present = source.present_NM[rows]
    assert other.shown(rows, ("image",))[0].tolist() == (present[:, 0] & is_usual).tolist()
    assert other.shown(rows, ("text",))[0].tolist() == present[:, 1].tolist()
    assert other.shown(rows, ("image", "text"))[0].tolist() == present.all(1).tolist()


def test_the_loss_is_a_sum_over_subsets_by_their_weights(plan: Plan) -> None:
    rows = np.arange(6)
    with torch.inference_mode():
        vectors = encode_all(plan.bench.network, plan.source, rows, plan.source.plain(rows))

        def loss(**weights: float) -> float:
            objective = {"contrastive": 0, "contrastive_fused": 0, "label_smoothing": 0}
            subset_weights = {"image": 0.0, "text": 0.0, "image+text": 0.0} | weights
            recipe = tiny_recipe(objective={**objective, "subsets": subset_weights})
            return multitask_loss(Plan(plan.bench, plan.source, recipe, 1, Recorder()), rows, vectors).item()

        parts = [loss(image=1), loss(text=1), loss(**{"image+text": 1})]
        assert all(part > 0 for part in parts)
        assert loss(image=2, text=1, **{"image+text": 1}) == pytest.approx(parts[0] + sum(parts), rel=1e-5)


def test_a_row_s_absent_modality_never_changes_the_loss(plan: Plan) -> None:
    rows = np.array([0, 1, 2, 25, 26])
    with torch.inference_mode():
        vectors = encode_all(plan.bench.network, plan.source, rows, plan.source.plain(rows))
        filled = EncodedBatch(vectors.vectors_BMD.clone())
        filled.vectors_BMD[3, 0] = filled.vectors_BMD[4, 1] = float("nan")
        assert torch.equal(multitask_loss(plan, rows, vectors), multitask_loss(plan, rows, filled))


def test_trust_goes_to_the_modality_that_is_right(plan: Plan) -> None:
    network = plan.bench.network
    fusion = network.fusion
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        fusion.gate.weight.zero_()
        fusion.trust_M.zero_()
    # The heads are asked about images only, so they are right about them and know nothing of texts.
    rows = plan.source.pairs.rows("val")
    with torch.no_grad():
        vectors = encode_all(network, plan.source, rows, plan.source.plain(rows)).vectors_BMD[:, 0]
        for column, head in enumerate(network.heads.values()):
            targets = torch.nn.functional.one_hot(plan.source.labels_NH[rows, column], head.out_features).float()
            head.weight.copy_(torch.linalg.lstsq(vectors, targets - 0.5).solution.T * 8)
            head.bias.zero_()
    fit_trust(plan)
    assert fusion.trust_M[0] == 0
    assert fusion.trust_M[1] < 0
    network.load_state_dict(before)


def test_trust_stays_where_no_label_tells(plan: Plan, pairs: Pairs) -> None:
    unlabelled = BatchSource(
        pairs, ("image", "text"), np.full((27, 2), -1), plan.source.cache, plan.source.captions
    )
    fit_trust(Plan(plan.bench, unlabelled, RECIPE, 1, Recorder()))
    assert plan.bench.network.fusion.trust_M.tolist() == [0, 0]
