"""The trunk that training and serving share: from bytes to predictions. Imports no torch outside `models.nets`."""

import os

# From its import on, ONNX Runtime 1.32 reports what it runs to its maker (on Linux and macOS too), and keeps an
# identifier under ~/.cache. What is computed here is nobody else's concern. ORT_DISABLE_TELEMETRY=0 allows it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
