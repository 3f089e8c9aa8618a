"""The gallery that is searched: items and their vectors. Knows no network and no HTTP."""
