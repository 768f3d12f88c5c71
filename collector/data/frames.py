"""Answers as the frames that analysts work with."""

from __future__ import annotations

__all__ = ["Kind", "framed", "needs"]

from typing import TYPE_CHECKING, Any, Literal

from collector.data.errors import QueryError
from collector.data.extras import extra

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["pandas", "polars", "arrow"]


def needs(kind: str) -> None:
    """Raise now what asking would raise later: `ExtraMissingError`, or `QueryError` for a kind there is not."""
    if kind not in ("pandas", "polars", "arrow"):
        raise QueryError(f"frames are pandas, polars or arrow, not {kind!r}")
    extra("pyarrow", "export" if kind == "arrow" else kind)
    if kind != "arrow":
        extra(kind, kind)


def framed(answer: pa.Table, kind: str) -> Any:
    """Make an answer a frame: of pandas with Decimals and columns that know null, of polars, or as it is."""
    if kind == "pandas":
        return _pandas(answer)
    return _polars(answer) if kind == "polars" else answer


def _pandas(answer: pa.Table) -> Any:
    pa, pandas = extra("pyarrow", "pandas"), extra("pandas", "pandas")
    # Without these, one null would make floats of all integers, keys of 64 bits included.
    kinds = {
        pa.int16(): pandas.Int16Dtype(),
        pa.int32(): pandas.Int32Dtype(),
        pa.int64(): pandas.Int64Dtype(),
        pa.bool_(): pandas.BooleanDtype(),
    }
    return answer.to_pandas(types_mapper=kinds.get)


def _polars(answer: pa.Table) -> Any:
    pa, polars = extra("pyarrow", "polars"), extra("polars", "polars")
    for place, field in enumerate(answer.schema):
        if pa.types.is_decimal256(field.type):  # polars holds 38 digits
            answer = answer.set_column(place, field.name, answer.column(place).cast(pa.string()))
        elif pa.types.is_list(field.type) and pa.types.is_decimal256(field.type.value_type):
            answer = answer.set_column(place, field.name, answer.column(place).cast(pa.list_(pa.string())))
    return polars.from_arrow(answer)
