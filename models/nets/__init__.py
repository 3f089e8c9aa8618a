"""The network in torch: what training optimises, what is exported, and what a GPU runs."""
