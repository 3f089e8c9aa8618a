"""How near written texts are to those of people: BLEU, ROUGE-L and CIDEr, by the code that COCO's are scored by.

Both sides are cut into words alike: lower case, letters and digits, an apostrophe inside a word kept, all other
punctuation dropped. COCO's own tokenizer (a Java program) drops it too; it differs in hyphens and clitics."""

import re
import unicodedata
from collections.abc import Sequence

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

_WORD = re.compile(r"\w+(?:'\w+)*")
_MAX_NGRAM = 4  # of BLEU
_DISTINCT = (1, 2, 3)


def words_of(text: str) -> list[str]:
    """The words that are compared."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'"))


def writing_figures(
    references: Sequence[Sequence[str]], written: Sequence[str], **noted: float
) -> dict[str, float]:
    """Figures of one text for each item, beside what people wrote about it; none where nobody wrote about any.

    `bleu_1` to `bleu_4` (Papineni et al. 2002, of all items at once), `rouge_l` (Lin 2004) and `cider` (Vedantam
    et al. 2015; rare words by these very references), means over items; `distinct_1` to `distinct_3`: share of the
    runs of so many words that are different; `words`: mean length; `different`: share of different texts; `rows`;
    and what is `noted`.
    """
    known = [(texts, text) for texts, text in zip(references, written, strict=True) if texts]
    if not known:
        return {}
    references, written = [texts for texts, _ in known], [text for _, text in known]
    theirs, ours = _as_coco(references, written)
    bleu, _ = Bleu(_MAX_NGRAM).compute_score(theirs, ours, verbose=0)
    rouge, _ = Rouge().compute_score(theirs, ours)
    cut = [words_of(text) for text in written]
    return {
        **{f"bleu_{size}": float(value) for size, value in enumerate(bleu, 1)},
        "rouge_l": float(rouge),
        "cider": float(Cider().compute_score(theirs, ours)[0]),
        **{f"distinct_{size}": _distinct(cut, size) for size in _DISTINCT},
        "words": sum(map(len, cut)) / len(cut),
        "different": len({tuple(words) for words in cut}) / len(cut),
        "rows": len(written),
        **noted,
    }


def cider_of_each(references: Sequence[Sequence[str]], written: Sequence[str]) -> list[float]:
    """CIDEr of each item by itself, with the rare words of all."""
    return [float(value) for value in Cider().compute_score(*_as_coco(references, written))[1]]


def _as_coco(
    references: Sequence[Sequence[str]], written: Sequence[str]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    theirs = {place: [" ".join(words_of(text)) for text in texts] for place, texts in enumerate(references)}
    return theirs, {place: [" ".join(words_of(text))] for place, text in enumerate(written)}


def _distinct(texts: Sequence[Sequence[str]], size: int) -> float:
    """Share of the runs of `size` words that are different (Li et al. 2016)."""
    runs = [tuple(words[start : start + size]) for words in texts for start in range(len(words) - size + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0
