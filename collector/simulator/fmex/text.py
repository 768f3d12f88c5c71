"""How the venue writes numbers, and WebSocket frames.

Prices, amounts and rates live as integers of a smallest unit; here they become the texts of JSON numbers, in the mixed
forms that were seen within one message: `7865`, `7865.0`, eighteen decimals, exponents. The form depends on the value
alone, so the same level looks the same in every message.
"""

from decimal import Decimal
from typing import Final, NamedTuple

DECIMALS: Final = 18
_PLAIN, _POINT, _LONG, _EXPONENT = range(4)


class Number(NamedTuple):
    """A number as it is sent, and the same digits without exponent."""

    sent: str
    plain: str


def number(units: int, decimals: int) -> Number:
    """Write `units` of 10**-decimals in one of the venue's forms."""
    form = (units * 2_654_435_761 >> 7) % 16
    if not units:
        return Number("0E-18", format(Decimal("0E-18"), "f")) if decimals else Number("0.0", "0.0")
    text = trimmed(units, decimals)
    if form == _EXPONENT or (decimals and abs(units) * 1000 < 10**decimals):
        sent = _with_exponent(text)
        return Number(sent, format(Decimal(sent), "f"))
    if form == _LONG:
        whole, _, fraction = text.partition(".")
        text = f"{whole}.{fraction.ljust(DECIMALS, '0')}"
    elif form < 10 and "." not in text and form != _PLAIN:
        text += ".0"
    return Number(text, text)


def trimmed(units: int, decimals: int) -> str:
    """Write `units` of 10**-decimals with no digit too many."""
    sign, digits = ("-", str(-units)) if units < 0 else ("", str(units))
    if not decimals:
        return sign + digits
    digits = digits.zfill(decimals + 1)
    whole, fraction = digits[:-decimals], digits[-decimals:].rstrip("0")
    return sign + (f"{whole}.{fraction}" if fraction else whole)


def _with_exponent(text: str) -> str:
    # As Java's BigDecimal writes it: one digit before the point, one at least behind it.
    value = Decimal(text).normalize()
    sign, digits, _ = value.as_tuple()
    mantissa = "".join(map(str, digits))
    exponent = value.adjusted()
    return f"{'-' if sign else ''}{mantissa[0]}.{mantissa[1:] or '0'}E{exponent}"
