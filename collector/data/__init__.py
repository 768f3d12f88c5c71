"""Data for analysts: frames in Python, exports to files, charts. Reads the tables and never changes them.

`Market` and `AsyncMarket` answer questions with frames of pandas, polars or Arrow; see docs/analysts.md.
"""

from __future__ import annotations

from collector.data.errors import DataError, ExtraMissingError, QueryError
from collector.data.market import AsyncMarket, Market

__all__ = ["AsyncMarket", "DataError", "ExtraMissingError", "Market", "QueryError"]
