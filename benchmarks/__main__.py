"""`python -m benchmarks`: every comparison there is, with its defaults."""

from benchmarks import serving

serving.main()
