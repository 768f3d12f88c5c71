"""Lets the official `finam-sdk` read the simulated venue, and prints what it got as one JSON object.

The SDK speaks gRPC only and the simulator does not. So this script serves the SDK's own service classes on loopback and
answers each call with the simulator's REST answer, read into the official message by the protocol's JSON rules, which
refuse any unknown field, enum or number. Runs in an environment of its own:
`python drive_finam_sdk.py REST_URL SECRET ACCOUNT SYMBOL..`.
"""
# ruff: noqa: T201  stdout is how it answers

import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import grpc
from finam_trade_api import FinamClient
from finam_trade_api.proto.grpc.tradeapi.v1.assets import assets_service_pb2 as assets
from finam_trade_api.proto.grpc.tradeapi.v1.assets import assets_service_pb2_grpc as assets_grpc
from finam_trade_api.proto.grpc.tradeapi.v1.auth import auth_service_pb2 as auth
from finam_trade_api.proto.grpc.tradeapi.v1.auth import auth_service_pb2_grpc as auth_grpc
from finam_trade_api.proto.grpc.tradeapi.v1.marketdata import marketdata_service_pb2 as market
from finam_trade_api.proto.grpc.tradeapi.v1.marketdata import marketdata_service_pb2_grpc as market_grpc
from google.protobuf import json_format
from google.type import interval_pb2

CODES = {400: grpc.StatusCode.INVALID_ARGUMENT, 401: grpc.StatusCode.UNAUTHENTICATED, 404: grpc.StatusCode.NOT_FOUND}


class Bridge:
    """REST answers as the messages of the contract."""

    def __init__(self, rest_url):
        self.rest_url = rest_url

    def call(self, context, path, message, body=None, **query):
        token = dict(context.invocation_metadata()).get("authorization")
        headers = {"Content-Type": "application/json"} if body is not None else {"Authorization": token or ""}
        url = f"{self.rest_url}/{path}" + "".join(
            f"{'&' if n else '?'}{k}={v}" for n, (k, v) in enumerate(query.items())
        )
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=data, headers=headers)) as answer:
                return json_format.Parse(answer.read(), message)
        except urllib.error.HTTPError as error:
            context.abort(CODES.get(error.code, grpc.StatusCode.UNKNOWN), json.loads(error.read())["message"])


def moment(stamp):
    return stamp.ToJsonString()


def serve(rest_url):
    bridge = Bridge(rest_url)

    class Auth(auth_grpc.AuthServiceServicer):
        def Auth(self, request, context):  # noqa: N802  the contract's name
            return bridge.call(context, "sessions", auth.AuthResponse(), {"secret": request.secret})

        def TokenDetails(self, request, context):  # noqa: N802
            return bridge.call(context, "sessions/details", auth.TokenDetailsResponse(), {"token": request.token})

        def SubscribeJwtRenewal(self, request, context):  # noqa: N802
            answer = bridge.call(context, "sessions", auth.AuthResponse(), {"secret": request.secret})
            yield auth.SubscribeJwtRenewalResponse(token=answer.token)

    class Assets(assets_grpc.AssetsServiceServicer):
        def Exchanges(self, request, context):  # noqa: N802
            return bridge.call(context, "exchanges", assets.ExchangesResponse())

        def AllAssets(self, request, context):  # noqa: N802
            return bridge.call(context, "assets/all", assets.AllAssetsResponse(), cursor=request.cursor)

        def GetAsset(self, request, context):  # noqa: N802
            path = f"assets/{request.symbol}"
            return bridge.call(context, path, assets.GetAssetResponse(), account_id=request.account_id)

        def GetAssetParams(self, request, context):  # noqa: N802
            path = f"assets/{request.symbol}/params"
            return bridge.call(context, path, assets.GetAssetParamsResponse(), account_id=request.account_id)

        def Schedule(self, request, context):  # noqa: N802
            return bridge.call(context, f"assets/{request.symbol}/schedule", assets.ScheduleResponse())

        def Clock(self, request, context):  # noqa: N802
            return bridge.call(context, "assets/clock", assets.ClockResponse())

    class Market(market_grpc.MarketDataServiceServicer):
        def LastQuote(self, request, context):  # noqa: N802
            return bridge.call(context, f"instruments/{request.symbol}/quotes/latest", market.QuoteResponse())

        def OrderBook(self, request, context):  # noqa: N802
            return bridge.call(context, f"instruments/{request.symbol}/orderbook", market.OrderBookResponse())

        def LatestTrades(self, request, context):  # noqa: N802
            return bridge.call(context, f"instruments/{request.symbol}/trades/latest", market.LatestTradesResponse())

        def Bars(self, request, context):  # noqa: N802
            span = {
                "interval.start_time": moment(request.interval.start_time),
                "interval.end_time": moment(request.interval.end_time),
            }
            path = f"instruments/{request.symbol}/bars"
            return bridge.call(context, path, market.BarsResponse(), timeframe=request.timeframe, **span)

    server = grpc.server(ThreadPoolExecutor(8))
    auth_grpc.add_AuthServiceServicer_to_server(Auth(), server)
    assets_grpc.add_AssetsServiceServicer_to_server(Assets(), server)
    market_grpc.add_MarketDataServiceServicer_to_server(Market(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def dump(message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def main(rest_url, secret, account, symbols):
    server, port = serve(rest_url)
    client = FinamClient.for_testing(secret, endpoint=f"127.0.0.1:{port}")
    interval = interval_pb2.Interval()
    interval.start_time.FromDatetime(datetime.now(UTC) - timedelta(hours=6))
    interval.end_time.FromDatetime(datetime.now(UTC) + timedelta(minutes=1))
    answers = {
        "details": dump(client.auth.TokenDetails(auth.TokenDetailsRequest(token=client.get_token()))),
        "exchanges": dump(client.assets.Exchanges(assets.ExchangesRequest())),
        "assets": dump(client.assets.AllAssets(assets.AllAssetsRequest())),
        "clock": dump(client.assets.Clock(assets.ClockRequest())),
        "symbols": {},
        "errors": [],
    }
    of_account = {"account_id": account}
    for symbol in symbols:
        frame = market.TimeFrame.TIME_FRAME_M1
        answers["symbols"][symbol] = {
            "asset": dump(client.assets.GetAsset(assets.GetAssetRequest(symbol=symbol, **of_account))),
            "params": dump(client.assets.GetAssetParams(assets.GetAssetParamsRequest(symbol=symbol, **of_account))),
            "schedule": dump(client.assets.Schedule(assets.ScheduleRequest(symbol=symbol))),
            "quote": dump(client.market_data.LastQuote(market.QuoteRequest(symbol=symbol))),
            "book": dump(client.market_data.OrderBook(market.OrderBookRequest(symbol=symbol))),
            "trades": dump(client.market_data.LatestTrades(market.LatestTradesRequest(symbol=symbol))),
            "bars": dump(
                client.market_data.Bars(market.BarsRequest(symbol=symbol, timeframe=frame, interval=interval))
            ),
        }
    try:
        client.market_data.LastQuote(market.QuoteRequest(symbol="NOSUCH@MISX"))
    except Exception as error:  # noqa: BLE001  its name is the answer
        answers["errors"].append(type(error).__name__ + ": " + str(error))
    print(json.dumps(answers))
    client.close()
    server.stop(None)


main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
