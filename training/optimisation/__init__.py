"""How a stage is optimised: steps and epochs, the state to resume from, number formats, several processes.

Knows parameters and losses; knows nothing of modalities."""
