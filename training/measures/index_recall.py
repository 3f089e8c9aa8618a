"""What an approximate index finds of the nearest vectors that an exact search finds.

Knows vectors alone. A gallery searches so only where it is large (retrieval/sqlite/row_index.py); here the index
is measured at any size.

# Q queries, q queries of a block, G gallery rows, E embedding dimensions"""

import numpy as np
from numpy.typing import NDArray

from retrieval.exact import SCORE_DECIMALS
from retrieval.graph import Graph
from training.measures.ranking import blocks

DEPTH = 10
INDEX_RECALL = f"index_recall@{DEPTH}"
CANDIDATES = 31  # that are ranked exactly: as many as a gallery takes from its graph for ten matches
Floats = NDArray[np.float32]


def index_recall(queries_QE: Floats, gallery_GE: Floats) -> float:
    """Mean share of a query's ten nearest, by cosine, that are among the candidates of a graph of the gallery.

    Rows that score as high as the last of the ten are as good as it. Of a smaller gallery all rows are nearest.

    Args:
        queries_QE: unit norm; at least one.
        gallery_GE: unit norm; at least one.

    Raises:
        ImportError: faiss is not installed.
    """
    graph = Graph.build(np.arange(len(gallery_GE)), gallery_GE)
    depth = min(DEPTH, len(gallery_GE))
    share_Q = np.empty(len(queries_QE))
    for block in blocks(len(queries_QE), len(gallery_GE)):
        scores_qG = np.round(queries_QE[block] @ gallery_GE.T, SCORE_DECIMALS)
        least_q = np.partition(scores_qG, -depth, axis=1)[:, -depth]
        for place, query_E in enumerate(queries_QE[block]):
            found = graph.candidates(query_E, CANDIDATES)
            near = int((scores_qG[place, found] >= least_q[place]).sum())
            share_Q[block.start + place] = min(near, depth) / depth
    return float(share_Q.mean())
