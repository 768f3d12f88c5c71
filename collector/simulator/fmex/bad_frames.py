"""The bad frames that faults inject; none of them tells anything of the true market."""

from typing import Final

_YEAR_9999_MS: Final = 253_388_592_000_000
_THIRTY: Final = "123456789012345678901234567890"

FRAMES: Final = frozenset(
    {
        "garbage",
        "truncated",
        "wrong_types",
        "unknown_type",
        "nan_price",
        "long_numbers",
        "negative_amount",
        "year_9999",
        "unknown_symbol",
        "odd_list",
    }
)


def spoilt(fault: str, symbol: str, now_ms: int) -> str:
    """Give the text of one bad frame."""
    fields = {"id": "7", "ts": str(now_ms), "side": '"buy"', "price": "1.5", "amount": "4.0"}
    kind = f"trade.{symbol}"
    match fault:
        case "garbage":
            return "}{ this is not JSON \x00"
        case "odd_list":
            kind = f"depth.l20.{symbol}"
            fields = {"ts": str(now_ms), "seq": "1", "bids": "[1.5,2,1.0]", "asks": "[]"}
        case "wrong_types":
            fields |= {"ts": '"yesterday"', "price": "[1]", "amount": "null"}
        case "unknown_type":
            kind = f"weather.{symbol}"
        case "nan_price":
            fields["price"] = "NaN"
        case "long_numbers":
            fields |= {"price": f"{_THIRTY}.{_THIRTY}", "amount": _THIRTY}
        case "negative_amount":
            fields["amount"] = "-4.0"
        case "year_9999":
            fields["ts"] = str(_YEAR_9999_MS)
        case "unknown_symbol":
            kind = "trade.nosuch_p"
    text = f'{{"type":"{kind}",' + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
    return text[: len(text) * 2 // 3] if fault == "truncated" else text
