"""The routes, a file for each noun of the HTTP contract."""
