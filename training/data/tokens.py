"""The tokens that transcripts are spelt with, learnt from those of the training rows."""

from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from models.config import WORD_START, CtcHead
from models.spoken_text import marked, normalise_transcript

MAX_WORDS = 8_000


def learn_tokens(transcripts: Iterable[str], head: CtcHead) -> tuple[str, ...]:
    """The blank, and then the tokens in order of their spelling; characters are among subwords too.

    Raises:
        ValueError: nothing is said in any of them, or more than MAX_WORDS words where these are the units.
    """
    texts = [normalise_transcript(text) for text in transcripts]
    words = sorted({word for text in texts for word in text.split()})
    if not words:
        raise ValueError("no transcript has a word in it")
    if head.units == "words":
        if len(words) > MAX_WORDS:
            raise ValueError(f"{len(words):,} different words; take characters or subwords as units")
        return ("", *(WORD_START + word for word in words))
    characters = {character for word in words for character in word}
    if head.units == "characters":
        return ("", WORD_START, *sorted(characters))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(WORD_START, "merged_with_next")
    trainer = trainers.BpeTrainer(
        vocab_size=head.num_subwords, initial_alphabet=[WORD_START, *characters], show_progress=False
    )
    tokenizer.train_from_iterator((marked(text) for text in texts), trainer)
    return ("", *sorted(tokenizer.get_vocab()))
