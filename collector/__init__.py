"""Records market data and loses none of it."""

__version__ = "0.1.0"
