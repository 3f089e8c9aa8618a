"""Learn subwords from the training texts. All normalisation lives in the tokenizer, so serving cannot differ."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from models.preprocess.text import PAD, UNKNOWN


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-pair encoding over normalised words.

    NFKC also folds full-width letters and ligatures; quotes, dashes and ellipses get their ASCII forms. Each
    digit and each CJK ideograph is a word of its own: no spaces separate them.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex("[‘’‚‛′`´]"), "'"),  # noqa: RUF001
            normalizers.Replace(Regex("[“”„‟″«»]"), '"'),
            normalizers.Replace(Regex("[‐‑‒–—―−]"), "-"),  # noqa: RUF001
            normalizers.Replace(Regex(r"[\p{Cc}\p{Cf}]"), " "),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(r"[\p{Han}]"), "isolated"),
            # Marks the start of a word, so that "art" in "tart" is another subword than "art".
            pre_tokenizers.Metaspace(prepend_scheme="always"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, special_tokens=[PAD, UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
