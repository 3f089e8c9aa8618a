"""An encoder for each modality: its prepared arrays to one vector of width D."""
