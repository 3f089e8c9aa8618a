"""The HTTP road: from a request to an answer, through `models` and `retrieval`."""

# Not asked of the installed package: `make serve` and the image run from the source, with nothing installed.
__version__ = "0.1.0"
