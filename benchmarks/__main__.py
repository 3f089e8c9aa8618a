"""`python -m benchmarks`: every comparison there is, with its defaults."""

from benchmarks.serving import ceiling

ceiling.main([])
