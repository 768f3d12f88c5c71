"""What to connect to: the accounts, where they run, what symbols they have, and the sockets that they share."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from collector.errors import VenueError
from collector.model import Instrument, InstrumentSpec
from collector.venues.header import SessionHeader
from collector.venues.kit.choose import did_you_mean, is_pattern
from collector.venues.metaapi.failures import content_of
from collector.venues.metaapi.hosts import SHARED_HOST, Hosts, path, provisioning, socket_query
from collector.venues.metaapi.periods import MT4_PERIODS, venue_name
from collector.venues.metaapi.requests import subscription
from collector.venues.metaapi.settings import AccountSettings, MetaapiSettings
from collector.venues.metaapi.symbols import UNKNOWN_KIND
from collector.venues.plan import ConnectionPlan, Plan, Problem, Subscription
from collector.venues.rest import Discovery, RestAnswer, RestCall

ADAPTER_NAME = "metaapi"
DEPLOYED = "DEPLOYED"
# How soon an account that cannot stream now is looked at again.
LOOK_AGAIN_SECONDS = 60.0

Calls = Generator[RestCall, RestAnswer, Any]


class Found(NamedTuple):
    """A configured account as the venue knows it. `id` is the one that runs in the region, maybe a replica's."""

    name: str
    id: str
    region: str
    version: int
    settings: AccountSettings


# Accounts that were looked up, by venue and name: the settings then, what was found, and where its past is served.
Known = dict[tuple[str, str], tuple[MetaapiSettings, Found, str]]


def discover(venue: str, settings: MetaapiSettings, known: Known | None = None) -> Discovery:
    """Look the accounts up and plan the connections. VenueError where none of them can stream.

    What was found goes to `known`, for those who ask for the past.
    """
    problems: list[Problem] = []
    found: list[Found] = []
    away: list[str] = []
    for name, account in settings.accounts.items():
        try:
            one = yield from look_up(venue, settings, name, account)
        except VenueError as error:
            if error.code != "404":
                raise
            one = f"the venue has no account {account.id}: {error.reason}"
        if isinstance(one, str):
            away.append(f"account {name}: {one}")
            problems.append(Problem(f"account {name}", one))
        else:
            found.append(one)
    if not found:
        raise VenueError(venue, "; ".join(away))
    hostname, domain = yield from servers(venue, settings)
    groups: dict[str, list[tuple[Found, dict[str, Any]]]] = {}
    instruments: dict[Instrument, InstrumentSpec] = {}
    for one in found:
        hosts = Hosts.of(settings, hostname, domain, one.region)
        if known is not None:
            known[venue, one.name] = settings, one, hosts.market_data
        listed = yield from _symbols(venue, settings, hosts, one, problems)
        chosen, wrong = choose(one, listed)
        problems += wrong
        described, limits = describe(settings, one, chosen)
        problems += limits
        prefix = described["prefix"]
        taken = [symbol for symbol in chosen if Instrument(venue, prefix + symbol) in instruments]
        if taken:
            text = 'another account has it under the same name; set symbol_names = "account"'
            problems += [Problem(f"account {one.name}: {symbol}", text) for symbol in taken]
            described["symbols"] = [symbol for symbol in chosen if symbol not in taken]
        for symbol in chosen if listed is None else listed:
            instrument = Instrument(venue, prefix + symbol)
            instruments.setdefault(
                instrument, InstrumentSpec(instrument, None, None, UNKNOWN_KIND, None, None, "listed", "{}", 0)
            )
        if described["symbols"] and described["kinds"]:
            groups.setdefault(one.region, []).append((one, described))
    connections = tuple(
        _connection(venue, settings, Hosts.of(settings, hostname, domain, region), number, part)
        for region, members in sorted(groups.items())
        for number, part in enumerate(_parts(members, settings.accounts_per_connection), start=1)
    )
    return Plan(
        connections=connections,
        instruments=tuple(instruments.values()),
        problems=tuple(problems),
        look_again_seconds=LOOK_AGAIN_SECONDS if away else None,
    )


def look_up(
    venue: str, settings: MetaapiSettings, name: str, account: AccountSettings
) -> Generator[RestCall, RestAnswer, Found | str]:
    """Find an account and where it runs, or say why it cannot stream."""
    content = yield from _get(venue, settings, provisioning(settings), "users", "current", "accounts", account.id)
    if type(content) is not dict:
        raise VenueError(venue, f"what the venue tells of account {name} is not an object; are the addresses right?")
    version = content.get("version")
    replicas = content.get("accountReplicas")
    homes: dict[str, dict[str, Any]] = {}
    for home in (content, *(replicas if type(replicas) is list else ())):
        if type(home) is dict and type(home.get("region")) is str and type(home.get("_id", "")) is str:
            homes.setdefault(home["region"], home)
    region = settings.region or content.get("region")
    home = homes.get(region) if type(region) is str else None
    if home is None:
        return f"it does not run in region {region}; it has {', '.join(sorted(homes)) or 'none'}"
    state = home.get("state")
    if state != DEPLOYED:
        hint = "; deploy it, which costs money and is therefore not done for you" if state == "UNDEPLOYED" else ""
        return f"it is {state} and streams only when {DEPLOYED}{hint}"
    return Found(name, home.get("_id") or account.id, str(region), version if type(version) is int else 5, account)


def servers(venue: str, settings: MetaapiSettings) -> Generator[RestCall, RestAnswer, tuple[str, str]]:
    """Ask which servers serve us: the socket's host and the regions' domain."""
    where = ("users", "current", "servers", "mt-client-api")
    content = yield from _get(venue, settings, provisioning(settings), *where)
    hostname = content.get("hostname") if type(content) is dict else None
    domain = content.get("domain") if type(content) is dict else None
    if type(domain) is not str or not domain:
        raise VenueError(venue, "the venue does not tell its servers' domain; is domain right?")
    return (hostname if type(hostname) is str and hostname else SHARED_HOST), domain


def _symbols(
    venue: str, settings: MetaapiSettings, hosts: Hosts, one: Found, problems: list[Problem]
) -> Generator[RestCall, RestAnswer, list[str] | None]:
    try:
        content = yield from _get(venue, settings, hosts.client, "users", "current", "accounts", one.id, "symbols")
    except VenueError as error:
        if error.code in ("401", "403"):
            raise
        text = f"its list of symbols cannot be had ({error.reason}), so names are taken as they are written"
        problems.append(Problem(f"account {one.name}", text))
        return None
    if type(content) is not list:
        problems.append(Problem(f"account {one.name}", "its list of symbols is not a list"))
        return None
    return [symbol for symbol in content if type(symbol) is str and _well_formed(symbol)]


def _well_formed(symbol: str) -> bool:
    return 0 < len(symbol) <= 100 and symbol.isprintable()


def _get(venue: str, settings: MetaapiSettings, base: str, *parts: str) -> Calls:
    headers = {"auth-token": settings.token.get_secret_value()}
    answer = yield RestCall("/".join(parts[2:3]), base + path(*parts), headers=headers, record=False)
    return content_of(venue, f"the answer about {parts[2]}", answer)


def choose(one: Found, listed: Sequence[str] | None) -> tuple[list[str], list[Problem]]:
    """Return the symbols that names and patterns mean, each once, and what is wrong with the wishes."""
    chosen: dict[str, None] = {}
    problems: list[Problem] = []
    for wish in one.settings.symbols:
        subject = f"account {one.name}: {wish}"
        pattern = is_pattern(wish)
        if listed is None:
            if pattern:
                problems.append(Problem(subject, "a pattern needs the account's list of symbols"))
            elif _well_formed(wish):
                chosen[wish] = None
        elif wish in listed:
            chosen[wish] = None
        elif pattern and (matching := [symbol for symbol in sorted(listed) if fnmatchcase(symbol, wish)]):
            chosen.update(dict.fromkeys(matching))
        else:
            meant = did_you_mean(get_close_matches(wish, listed, n=3))
            what = "matches no symbol of the broker" if pattern else "the broker has no such symbol"
            problems.append(Problem(subject, what + meant))
    return list(chosen), problems


def named(settings: MetaapiSettings) -> dict[str, list[str]]:
    """Return the instruments that are named, by stream. What only MetaTrader 5 has is left out until that is known."""
    by_stream: dict[str, list[str]] = {}
    for name, account in settings.accounts.items():
        for stream in settings.streams_of(account):
            if stream in ("ticks", "candles"):
                names = [settings.prefix(name) + wish for wish in account.symbols if not is_pattern(wish)]
                by_stream.setdefault(stream, []).extend(names)
    return by_stream


def describe(settings: MetaapiSettings, one: Found, symbols: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    """Return what the parser and the conversation need to know of an account, and what it cannot have."""
    wanted = one.settings
    streams = list(settings.streams_of(wanted))
    problems: list[Problem] = []
    old = one.version < 5
    source = settings.ticks_of(wanted)
    if source == "auto":
        source = "quotes" if old else "ticks"
    kinds: list[str] = []
    if "ticks" in streams and source in ("quotes", "both"):
        kinds.append("quotes")
    tick_rows = "ticks" in streams and source in ("ticks", "both")
    if tick_rows or ("trades" in streams and not old):
        kinds.append("ticks")
    if "trades" in streams and old:
        streams.remove("trades")
        if wanted.streams is not None:
            problems.append(Problem(f"account {one.name}: trades", "MetaTrader 4 tells no deals"))
    if "books" in streams and old:
        streams.remove("books")
        if wanted.streams is not None:
            problems.append(Problem(f"account {one.name}: books", "MetaTrader 4 has no market depth"))
    if "books" in streams:
        kinds.append("marketDepth")
    if "candles" in streams:
        for period in settings.candles_of(wanted):
            if old and period not in MT4_PERIODS:
                problems.append(Problem(f"account {one.name}: {period}", "MetaTrader 4 has no such candles"))
            else:
                kinds.append(f"candles/{venue_name(period)}")
    described = {
        "name": one.name,
        "prefix": settings.prefix(one.name),
        "symbols": list(symbols),
        "streams": streams,
        "kinds": kinds,
        "tick_rows": tick_rows,
    }
    return described, problems


def _parts(members: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [members[start : start + size] for start in range(0, len(members), size)]


def _connection(
    venue: str, settings: MetaapiSettings, hosts: Hosts, number: int, members: Sequence[tuple[Found, dict[str, Any]]]
) -> ConnectionPlan:
    name = f"{venue}-{hosts.region}-{number}"
    url = hosts.socket(settings.instance)
    accounts: dict[str, Mapping[str, Any]] = {one.id: described for one, described in members}
    subscriptions = [
        one for account_id, described in accounts.items() for one in _subscriptions(settings, account_id, described)
    ]
    own = {
        "instance": settings.instance,
        "accounts": accounts,
        "candle_series": settings.candle_series,
        "candle_grace_us": round(settings.grace_seconds * 1_000_000),
        "reorder_us": round(settings.reorder_seconds * 1_000_000),
        "refresh_seconds": settings.refresh_seconds,
        "status_seconds": settings.status_seconds,
        "intervals": dict(settings.intervals),
    }
    address = f"{url}?{socket_query(settings.token.get_secret_value())}"
    return ConnectionPlan(name, address, tuple(subscriptions), SessionHeader(venue, ADAPTER_NAME, own=own))


_STREAM_OF = {"quotes": "ticks", "ticks": "ticks", "candles": "candles", "marketDepth": "books"}


def _subscriptions(
    settings: MetaapiSettings, account_id: str, described: Mapping[str, Any]
) -> Generator[Subscription, None, None]:
    symbols = tuple(described["prefix"] + symbol for symbol in described["symbols"])
    for kind in described["kinds"]:
        stream = _STREAM_OF[kind.partition("/")[0]]
        if kind == "ticks" and not described["tick_rows"]:
            continue  # wanted for the deals in them alone
        params = {"account": account_id, "kind": kind, **subscription(kind, settings.intervals)}
        yield Subscription(f"{described['name']}/{kind}", stream, symbols, params, prompt=False)
    if "trades" in described["streams"]:
        params = {"account": account_id, "kind": "ticks", **subscription("ticks", settings.intervals)}
        yield Subscription(f"{described['name']}/trades", "trades", symbols, params, prompt=False)
