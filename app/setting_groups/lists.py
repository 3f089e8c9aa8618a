"""Several values in one setting."""


def split(value: str) -> list[str]:
    """The parts of a list by commas, without blanks."""
    return [part.strip() for part in value.split(",") if part.strip()]
