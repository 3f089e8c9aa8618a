"""Speech by unseen speakers: how well it is understood, how fast, and what another recogniser makes of it.

Recordings are those of recipes/spoken_digits.py and recipes/spoken_commands.py. Each command adds its figures to
`benchmarks/results/speech.json`, under its name."""
