"""The trunk that training and serving share: from bytes to predictions. Imports no torch outside `models.nets`."""
