"""Asks everything of market data of `finam-trade-api` and prints the answers as one JSON object.

Runs in an environment of its own: `python drive_finam.py REST_URL SECRET ACCOUNT SYMBOL..`.
"""
# ruff: noqa: T201  stdout is how it answers

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta

from finam_trade_api import Client, TokenManager
from finam_trade_api.exceptions import FinamTradeApiError
from finam_trade_api.instruments.model import BarsRequest, TimeFrame


async def main(rest_url: str, secret: str, account: str, symbols: list[str]) -> None:
    client = Client(TokenManager(secret))
    for part in (client.assets, client.access_tokens, client.instruments, client.quotas):
        part._base_url = rest_url
    await client.access_tokens.set_jwt_token()
    now = datetime.now(UTC)
    answers: dict[str, object] = {
        "details": dump(await client.access_tokens.get_jwt_token_details()),
        "exchanges": dump(await client.assets.get_exchanges()),
        "assets": dump(await client.assets.get_assets()),
        "clock": dump(await client.assets.get_clock()),
        "symbols": {},
        "errors": [],
    }
    for symbol in symbols:
        request = BarsRequest(
            symbol=symbol,
            start_time=(now - timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            end_time=(now + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            timeframe=TimeFrame.TIME_FRAME_M1,
        )
        answers["symbols"][symbol] = {
            "asset": dump(await client.assets.get_asset(symbol, account)),
            "params": dump(await client.assets.get_asset_params(symbol, account)),
            "schedule": dump(await client.assets.get_schedule(symbol)),
            "options": dump(await client.assets.get_options_chain(symbol)),
            "quote": dump(await client.instruments.get_last_quote(symbol)),
            "book": dump(await client.instruments.get_order_book(symbol)),
            "trades": dump(await client.instruments.get_last_trades(symbol)),
            "bars": dump(await client.instruments.get_bars(request)),
        }
    answers["quotas"] = dump(await client.quotas.get_quotas())
    try:
        await client.instruments.get_last_quote("NOSUCH@MISX")
    except FinamTradeApiError as error:
        answers["errors"].append(str(error))
    print(json.dumps(answers))


def dump(answer: object) -> object:
    return answer.model_dump(mode="json")


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
