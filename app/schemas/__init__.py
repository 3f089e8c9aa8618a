"""The answers, as they stand in the HTTP contract, a file for each noun of it."""
