"""The simulated accounts, and what they hold: numbers that nobody but their owner should ever see."""

from dataclasses import dataclass, field
from typing import Any

from collector.simulator.metaapi.market import Broker

# Symbol to kind (`quotes`, `ticks`, `candles/1m`, `marketDepth`) to the milliseconds between two packets.
Subscriptions = dict[str, dict[str, int]]


@dataclass(slots=True, eq=False)
class Account:
    """One account. Subscriptions are the account's, not a socket's."""

    id: str
    name: str
    broker: Broker
    region: str
    version: int = 5
    reliability: str = "regular"
    state: str = "DEPLOYED"
    kind: str = "cloud-g2"
    interval_ms: int = 0
    subscriptions: Subscriptions = field(default_factory=dict)
    connected: bool = True
    """Whether the terminal has its broker."""

    @property
    def instances(self) -> tuple[int, ...]:
        return (0, 1) if self.reliability == "high" else (0,)

    def described(self) -> dict[str, Any]:
        """Return the account as provisioning tells it, with fields that clients have to ignore."""
        connected = self.connected and self.state == "DEPLOYED"
        return {
            "_id": self.id,
            "name": self.name,
            "type": self.kind,
            "login": "50194988",
            "server": f"{self.broker.name}-Demo",
            "version": self.version,
            "state": self.state,
            "magic": 0,
            "connectionStatus": "CONNECTED" if connected else "DISCONNECTED",
            "quoteStreamingIntervalInSeconds": self.interval_ms / 1000,
            "reliability": self.reliability,
            "region": self.region,
            "createdAt": "2024-01-02T03:04:05.678Z",
            "baseCurrency": "USD",
            "manualTrades": False,
            "tags": [],
            "metadata": {},
            "connections": [],
        }


INFORMATION = (
    '{"platform":"mt5","broker":"Simulated Broker","currency":"USD","server":"Simulated-Demo","balance":73519.84,'
    '"equity":73620.17,"margin":861234.56,"freeMargin":72385.61,"leverage":100,"marginLevel":5963.27,'
    '"tradeAllowed":true,"name":"Jane Roe","login":"50194988","credit":417039.31,"type":"ACCOUNT_TRADE_MODE_DEMO"}'
)
POSITION = (
    '{"id":"46214692","type":"POSITION_TYPE_BUY","symbol":"EURUSD","magic":1000,"time":"2024-05-06T07:08:09.010Z",'
    '"brokerTime":"2024-05-06 10:08:09.010","openPrice":1.261012345,"currentPrice":1.24883,"currentTickValue":1,'
    '"volume":0.07,"swap":0,"profit":-85.25999,"commission":-0.25,"clientId":"TE_EURUSD_7hyINWqAlE",'
    '"updateTime":"2024-05-06T07:08:09.010Z","unrealizedProfit":-85.25999,"realizedProfit":-6.536993271}'
)
ORDER = (
    '{"id":"46871284","type":"ORDER_TYPE_BUY_LIMIT","state":"ORDER_STATE_PLACED","symbol":"EURUSD","magic":123456,'
    '"platform":"mt5","time":"2024-05-06T07:08:09.010Z","openPrice":1.034567891,"currentPrice":1.261,"volume":0.083141592,'
    '"currentVolume":0.083141592,"positionId":"46214692","comment":"COMMENT2"}'
)
MARGINS = '"equity":73620.17,"margin":861234.56,"freeMargin":72385.61,"marginLevel":5963.27'
# What comes down the line and must be found nowhere.
SECRETS = (
    "73519.84",
    "73620.17",
    "861234.56",
    "72385.61",
    "5963.27",
    "417039.31",
    "Jane Roe",
    "50194988",
    "46214692",
    "1.261012345",
    "85.25999",
    "6.536993271",
    "TE_EURUSD_7hyINWqAlE",
    "46871284",
    "1.034567891",
    "0.083141592",
)
