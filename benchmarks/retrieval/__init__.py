"""Search beside others: `python -m benchmarks.retrieval index` compares our index with bare libraries.

Each index is in a process of its own, builds and answers on one thread, and all are asked in turn, in rounds: what
the machine does meanwhile falls on each of them."""
