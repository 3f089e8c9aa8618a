"""From a manifest to training batches: rows and splits, labels and numbers, caches on disk, random changes."""
