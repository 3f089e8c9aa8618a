"""The offline road: a manifest and a recipe go in, a versioned checkpoint comes out. Needs no web dependencies."""
