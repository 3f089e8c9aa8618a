"""Speed, always as a ratio within one run. Results are in benchmarks/results/."""
