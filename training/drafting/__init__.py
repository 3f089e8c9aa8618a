"""From a manifest to a recipe: what its columns are, what sizes fit its rows, written out with comments."""
