"""The offline road: a manifest and a recipe go in, a versioned checkpoint comes out. Needs no web dependencies."""

import models  # noqa: F401 - it tells ONNX Runtime to report nothing, so it comes before
