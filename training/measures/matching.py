"""Which text belongs to which image, by the network: both ways among the records that have both.

# n records with both, q captions, E embedding dimensions"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.manifest import Record
from training.measures.index_recall import INDEX_RECALL, index_recall
from training.measures.outputs import Captions, SubsetOutput
from training.measures.ranking import retrieval


def equal_texts(records: Sequence[Record], rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """For each of the rows, the places among them whose texts equal its own; its own place is one.

    A row without a text equals none but itself.
    """
    texts = [records[row].texts or place for place, row in enumerate(rows)]
    same: dict[tuple[str, ...] | int, list[int]] = {}
    for place, own in enumerate(texts):
        same.setdefault(own, []).append(place)
    return [np.array(same[own]) for own in texts]


def matching(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], *, with_index: bool = False
) -> dict[str, dict[str, float]]:
    """Recall, nDCG and median rank, text to image and back; equal texts are equally right.

    Of records with several captions each is asked for by itself, among all images; and an image asks for any of
    its own, among the captions of all. with_index: also give `index_recall@10`; needs faiss.
    """
    # Where images are judged on some rows alone, so are their matches.
    rows = np.intersect1d(outputs["image"].rows, outputs["image+text"].rows)
    images_nE = outputs["image"].at(rows).embedding_nE
    equal = equal_texts(records, rows)
    texts = outputs["text"]
    captions = texts.captions or Captions(rows, texts.at(rows).embedding_nE)
    asked = np.isin(captions.rows, rows)
    place_q, texts_qE = np.searchsorted(rows, captions.rows[asked]), captions.embedding_qE[asked]
    own_q: list[list[int]] = [[] for _ in rows]
    for number, place in enumerate(place_q):
        own_q[place].append(number)
    answers = [np.array([number for place in places for number in own_q[place]]) for places in equal]
    found = {
        "text_to_image": retrieval(texts_qE, images_nE, [equal[place] for place in place_q]),
        "image_to_text": retrieval(images_nE, texts_qE, answers),
    }
    if with_index:
        found["text_to_image"][INDEX_RECALL] = index_recall(texts_qE, images_nE)
        found["image_to_text"][INDEX_RECALL] = index_recall(images_nE, texts_qE)
    return found
