"""The addresses of the venue's services: hosts by region, or all of them below `base_url` where that is set."""

from __future__ import annotations

from typing import NamedTuple, Self
from urllib.parse import quote, urlencode

from collector.venues.metaapi.settings import MetaapiSettings

# The host of the socket and the client REST service, where the venue names no dedicated server.
SHARED_HOST = "mt-client-api-v1"
_MARKET_DATA_HOST = "mt-market-data-client-api-v1"
_PROVISIONING_HOST = "mt-provisioning-api-v1"
SOCKET_PATH = "/ws/"


def provisioning(settings: MetaapiSettings) -> str:
    """Return the address of the service that knows accounts and servers."""
    return settings.base_url or f"https://{_PROVISIONING_HOST}.{settings.domain}"


class Hosts(NamedTuple):
    """The addresses of one region's services. `hostname` is that of the socket's server, which may be dedicated."""

    base_url: str | None
    hostname: str
    domain: str
    region: str

    @classmethod
    def of_region(cls, settings: MetaapiSettings, hostname: str, domain: str, region: str) -> Self:
        """Make them of what `discovery.servers` returns; a dedicated server is used only if the settings allow it."""
        return cls(settings.base_url, hostname if settings.dedicated_hosts else SHARED_HOST, domain, region)

    @property
    def client(self) -> str:
        """The client REST service, which has the list of symbols."""
        return self.base_url or f"https://{SHARED_HOST}.{self.region}.{self.domain}"

    @property
    def market_data(self) -> str:
        """The REST service that has the history."""
        return self.base_url or f"https://{_MARKET_DATA_HOST}.{self.region}.{self.domain}"

    def socket(self, instance: int) -> str:
        """The address of the streaming socket of an instance (0 or 1), without its query."""
        if self.base_url:
            return "ws" + self.base_url.removeprefix("http") + SOCKET_PATH
        zone = chr(ord("a") + instance)  # a for instance 0, b for instance 1
        return f"wss://{self.hostname}.{self.region}-{zone}.{self.domain}{SOCKET_PATH}"


def socket_query(token: str) -> str:
    """Return the constant part of a socket's query. It holds the token, so the address must never be logged."""
    return urlencode({"auth-token": token, "protocol": "3", "transport": "websocket", "EIO": "3"})


def path(*parts: str) -> str:
    """Join the parts of a path. Each part is percent-encoded, slashes included: symbols may contain anything."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
