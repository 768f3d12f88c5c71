"""Where the venue's services are: hosts by region, or all of them behind one address."""

from __future__ import annotations

from typing import NamedTuple, Self
from urllib.parse import quote, urlencode

from collector.venues.metaapi.settings import MetaapiSettings

SHARED_HOST = "mt-client-api-v1"
_MARKET_DATA_HOST = "mt-market-data-client-api-v1"
_PROVISIONING_HOST = "mt-provisioning-api-v1"
SOCKET_PATH = "/ws/"


def provisioning(settings: MetaapiSettings) -> str:
    """Return the address of the service that knows accounts and servers."""
    return settings.base_url or f"https://{_PROVISIONING_HOST}.{settings.domain}"


class Hosts(NamedTuple):
    """The services of one region."""

    base_url: str | None
    hostname: str
    domain: str
    region: str

    @classmethod
    def of(cls, settings: MetaapiSettings, hostname: str, domain: str, region: str) -> Self:
        return cls(settings.base_url, hostname if settings.dedicated_hosts else SHARED_HOST, domain, region)

    @property
    def client(self) -> str:
        """The client REST service."""
        return self.base_url or f"https://{SHARED_HOST}.{self.region}.{self.domain}"

    @property
    def market_data(self) -> str:
        """The service that has the past."""
        return self.base_url or f"https://{_MARKET_DATA_HOST}.{self.region}.{self.domain}"

    def socket(self, instance: int) -> str:
        """The streaming socket of an instance, without its query."""
        if self.base_url:
            return "ws" + self.base_url.removeprefix("http") + SOCKET_PATH
        zone = chr(ord("a") + instance)
        return f"wss://{self.hostname}.{self.region}-{zone}.{self.domain}{SOCKET_PATH}"


def socket_query(token: str) -> str:
    """Return what stays the same in a socket's query. It holds the token: such an address is never logged."""
    return urlencode({"auth-token": token, "protocol": "3", "transport": "websocket", "EIO": "3"})


def path(*parts: str) -> str:
    """Join the parts of a path, each with everything that is not plain encoded."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
