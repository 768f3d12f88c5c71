"""The bad frames that faults inject: each is what the channel would send, spoilt in one way.

A spoilt frame never tells anything about the true market: its trade has an id of its own, its bar a minute that has not
come, so that a recorder that stores one can be caught.
"""

from typing import Final

from collector.simulator.fmfw.channels import Channel
from collector.simulator.kit.faults import FaultError

_YEAR_9999_MS: Final = 253_388_592_000_000
_THIRTY_DIGITS: Final = "123456789012345678901234567890"

Fields = dict[str, str]


def spoilt(fault: str, channel: Channel, symbol: str, trade_id: int, now_ms: int) -> tuple[str, int]:
    """Give the text of one bad frame and how many items it would hold were it good.

    Raises `FaultError` for a channel that has no such items.
    """
    if fault == "garbage":
        return "}{ this is not JSON \x00", 1
    kind, fields = _item(channel, trade_id, now_ms)
    price, size = ("r", "r") if channel.family == "rate" else _PRICE_AND_SIZE[channel.family]
    name = channel.name
    match fault:
        case "truncated":
            text = _message(name, kind, symbol, fields, channel)
            return text[: len(text) * 2 // 3], 1
        case "wrong_types":
            fields |= {"t": '"yesterday"', price: "[1]", size: "null"}
        case "unknown_channel":
            name = "weather/1s"
        case "nan_price":
            fields[price] = '"NaN"'
        case "long_numbers":
            fields |= {price: f'"{_THIRTY_DIGITS}.{_THIRTY_DIGITS}"', size: f'"{_THIRTY_DIGITS}"'}
        case "negative_size":
            fields[size] = '"-1.5"'
        case "year_9999":
            fields["t"] = str(_YEAR_9999_MS)
        case "unknown_symbol":
            symbol = "NOSUCHUSDT"
        case _:
            raise FaultError(f"{fault} is not a fault of frames")
    return _message(name, kind, symbol, fields, channel), 1


_PRICE_AND_SIZE: Final = {
    "trades": ("p", "q"),
    "candles": ("c", "v"),
    "ticker": ("a", "A"),
    "mini": ("c", "v"),
    "top": ("a", "A"),
}


def _item(channel: Channel, trade_id: int, now_ms: int) -> tuple[str, Fields]:
    match channel.family:
        case "trades":
            return "update", {"t": str(now_ms), "i": str(trade_id), "p": '"1.23"', "q": '"4.5"', "s": '"buy"'}
        case "candles":
            return "update", _texts(str(now_ms - now_ms % 60_000 + 86_400_000), o=1, c=1, h=1, l=1, v=2, q=2)
        case "ticker":
            fields = _texts(str(now_ms), a=2, A=1, b=1, B=1, o=1, c=1, h=2, l=1, v=5, q=5, p=0, P=0)
            return "data", fields | {"L": str(trade_id)}
        case "mini":
            return "data", _texts(str(now_ms), o=1, c=1, h=2, l=1, v=5, q=5)
        case "top":
            return "data", _texts(str(now_ms), a=2, A=1, b=1, B=1)
        case "rate":
            return "data", _texts(str(now_ms), r=1)
        case _:
            raise FaultError(
                f"no bad frames are made for {channel.name}; choose trades, candles, a ticker, top or rate"
            )


def _texts(time: str, **numbers: int) -> Fields:
    return {"t": time} | {key: f'"{number}"' for key, number in numbers.items()}


def _message(name: str, kind: str, symbol: str, fields: Fields, channel: Channel) -> str:
    item = "{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + "}"
    body = f"[{item}]" if channel.family in ("trades", "candles") else item
    return f'{{"ch":"{name}","{kind}":{{"{symbol}":{body}}}}}'
