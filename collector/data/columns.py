"""Text of PostgreSQL's COPY as columns of Arrow, without a float on the way.

A block is whole rows of CSV as the server sends them. `kinds_of` names the types of a statement's columns once,
`table` makes a block into a table. Decimals become `decimal128` of 38 digits where all values fit, else `decimal256`
of 76, else text: what does not fit exactly is never rounded.
"""

from __future__ import annotations

__all__ = ["Column", "Digits", "decimal_type", "fitted", "kinds_of", "schema", "table"]

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.data.errors import QueryError
from collector.data.extras import extra

if TYPE_CHECKING:
    import pyarrow as pa

NUMERIC, NUMERICS, INTERVAL = "numeric", "numeric[]", "interval"

_PLAIN = {
    "bool": "bool_",
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "float4": "float32",
    "float8": "float64",
    "date": "date32",
    "text": "string",
    "varchar": "string",
    "bpchar": "string",
    "name": "string",
    "json": "string",
    "jsonb": "string",
    "uuid": "string",
}

# Digits after the decimal point in a file, where they are enough: so files of several days have the same type.
USUAL_SCALE = 18
# Digits that Arrow's two decimals hold.
_SHORT, _LONG = 38, 76


class Column(NamedTuple):
    """A column's name and PostgreSQL type; arrays of numbers are `numeric[]`."""

    name: str
    kind: str


class Digits(NamedTuple):
    """The most digits that any value of a column has before and behind the point."""

    whole: int
    scale: int

    @classmethod
    def of(cls, largest: str | None, scale: int | None) -> Digits:
        """Take them from the largest absolute value and the largest scale; None where there is no value."""
        if largest is None:
            return cls(0, 0)
        value = Decimal(largest)
        # NaN and the infinities, which the database may hold and no decimal can: text, then.
        return cls(len(str(int(value))), scale or 0) if value.is_finite() else cls(_LONG + 1, 0)


def kinds_of(attributes: Iterable[Any]) -> list[Column]:
    """Return the columns of a prepared statement of asyncpg's."""
    return [
        Column(one.name, f"{one.type.name.removesuffix('[]')}[]" if one.type.kind == "array" else one.type.name)
        for one in attributes
    ]


def decimal_type(digits: Digits, *, usual: bool = True) -> pa.DataType:
    """Return the type that holds such numbers exactly: a decimal, or text beyond 76 digits.

    With `usual` the scale is 18 wherever the numbers fit in 38 digits with it.
    """
    pa = extra("pyarrow", "export")
    if usual and digits.scale <= USUAL_SCALE and digits.whole <= _SHORT - USUAL_SCALE:
        return pa.decimal128(_SHORT, USUAL_SCALE)
    needed = digits.whole + digits.scale
    if needed <= _SHORT:
        return pa.decimal128(_SHORT, digits.scale)
    return pa.decimal256(_LONG, digits.scale) if needed <= _LONG else pa.string()


def schema(columns: Sequence[Column], digits: Sequence[Digits] | None = None) -> pa.Schema:
    """Return the types of a statement's columns.

    `digits` belong to the numeric columns in their order. Without them numbers stay text, for `fitted` to convert.
    """
    pa = extra("pyarrow", "export")
    fields, sizes = [], iter(digits or ())
    for column in columns:
        kind = _read_as(column.kind)
        if digits is not None and column.kind in (NUMERIC, NUMERICS):
            kind = decimal_type(next(sizes))
            kind = kind if column.kind == NUMERIC else pa.list_(kind)
        fields.append(pa.field(column.name, kind))
    return pa.schema(fields)


def table(block: bytes, columns: Sequence[Column], wanted: pa.Schema) -> pa.Table:
    """Make whole rows of CSV into a table of the wanted schema."""
    pa, csv = extra("pyarrow", "export"), extra("pyarrow.csv", "export")
    if not block:
        return wanted.empty_table()
    read = csv.read_csv(
        pa.BufferReader(block),
        read_options=csv.ReadOptions(
            column_names=[str(place) for place in range(len(columns))], block_size=max(len(block) + 1, 1 << 10)
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types={str(place): _read_as(column.kind) for place, column in enumerate(columns)},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    arrays = []
    for column, values, field in zip(columns, map(_whole, read.columns), wanted, strict=True):
        list_of = field.type.value_type if pa.types.is_list(field.type) else field.type
        arrays.append(values if values.type == field.type else _numbers(values, column.kind, list_of))
    return pa.table(arrays, schema=wanted)


def fitted(tables: Sequence[pa.Table], columns: Sequence[Column], *, floats: bool = False) -> pa.Table:
    """Join tables of text numbers into one, each numeric column in the smallest exact type, or as floats if asked."""
    pa = extra("pyarrow", "export")
    joined = pa.concat_tables(tables).combine_chunks()
    arrays = []
    for column, values in zip(columns, joined.columns, strict=True):
        whole = _whole(values)
        if column.kind in (NUMERIC, NUMERICS):
            items = whole if column.kind == NUMERIC else _items(whole)
            kind = pa.float64() if floats else decimal_type(_digits(items), usual=False)
            whole = _numbers(whole, column.kind, kind)
        elif column.kind == INTERVAL:
            whole = _durations(whole)
        arrays.append(whole)
    return pa.table(arrays, names=[column.name for column in columns])


def _read_as(kind: str) -> pa.DataType:
    pa = extra("pyarrow", "export")
    if kind == "timestamptz":
        return pa.timestamp("us", "UTC")
    if kind == "timestamp":
        return pa.timestamp("us")
    return getattr(pa, _PLAIN.get(kind, "string"))()


def _whole(values: Any) -> Any:
    pa = extra("pyarrow", "export")
    if not isinstance(values, pa.ChunkedArray):
        return values
    return values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks or [pa.array([], values.type)])


def _numbers(text: pa.Array, kind: str, wanted: pa.DataType) -> pa.Array:
    pa = extra("pyarrow", "export")
    if kind == NUMERIC:
        return text.cast(wanted)
    pc = extra("pyarrow.compute", "export")
    counts = pc.if_else(pc.equal(text, "{}"), 0, pc.add(pc.count_substring(text, ","), 1))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(counts.fill_null(0)).cast(pa.int32())])
    missing = text.is_null() if text.null_count else None
    return pa.ListArray.from_arrays(offsets, _items(text).cast(wanted), mask=missing)


def _items(text: pa.Array) -> pa.Array:
    pc = extra("pyarrow.compute", "export")
    filled = text.filter(pc.not_equal(text, "{}"))  # leaves out nulls, too
    return pc.list_flatten(pc.split_pattern(pc.utf8_slice_codeunits(filled, 1, -1), ","))


def _digits(text: pa.Array) -> Digits:
    pc = extra("pyarrow.compute", "export")
    if pc.any(pc.match_substring_regex(text, "[A-Za-z]")).as_py():
        return Digits(_LONG + 1, 0)
    bare = pc.utf8_ltrim(text, "-")
    length, point = pc.utf8_length(bare), pc.find_substring(bare, ".")
    whole = pc.max(pc.if_else(pc.less(point, 0), length, point)).as_py()
    scale = pc.max(pc.if_else(pc.less(point, 0), 0, pc.subtract(pc.subtract(length, point), 1))).as_py()
    return Digits(whole or 0, scale or 0)


_INTERVAL = re.compile(r"P(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?\d+(?:\.\d+)?)S)?)?")


def _durations(text: pa.Array) -> pa.Array:
    pa = extra("pyarrow", "export")
    return pa.array([None if one is None else _duration(one) for one in text.to_pylist()], pa.duration("us"))


def _duration(text: str) -> timedelta:
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise QueryError(f"the interval {text} has months, which have no fixed length; ask for its text instead")
    days, hours, minutes, seconds = match.groups()
    microseconds = int(Decimal(seconds or 0) * 1_000_000)
    return timedelta(days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0), microseconds=microseconds)
