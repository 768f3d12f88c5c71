"""Discovery: looks up the configured accounts and their symbols over REST, and plans the sockets that they share."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from collector.errors import VenueError
from collector.model import Instrument, InstrumentSpec
from collector.venues.header import SessionHeader
from collector.venues.kit.bars import grace_entry
from collector.venues.kit.choose import did_you_mean, is_pattern
from collector.venues.metaapi.failures import content_of
from collector.venues.metaapi.hosts import SHARED_HOST, Hosts, path, provisioning, socket_query
from collector.venues.metaapi.periods import MT4_PERIODS, venue_name
from collector.venues.metaapi.requests import STREAM_OF_KIND, subscription
from collector.venues.metaapi.settings import AccountSettings, MetaapiSettings
from collector.venues.metaapi.symbols import UNKNOWN_KIND
from collector.venues.plan import ConnectionPlan, Plan, Problem, Subscription
from collector.venues.rest import Discovery, RestAnswer, RestCall

ADAPTER_NAME = "metaapi"
# The only state of an account in which it streams.
DEPLOYED = "DEPLOYED"
# How soon accounts are looked up again when one of them cannot stream, as while it is being deployed (which takes
# minutes). Sooner would spend more of the credits that each call costs; later delays the start of the recording.
UNAVAILABLE_RECHECK_SECONDS = 60.0
# Longer names of symbols are ignored. Brokers' names are far shorter; this keeps garbage out of channels and log lines.
_SYMBOL_MAX_CHARACTERS = 100
# How many similar names are suggested for a symbol that the broker does not have.
_SUGGESTIONS_MAX = 3
# The version of MetaTrader from which on there are ticks with deals, market depth and more candle periods. Accounts
# whose version is missing are treated as this one.
_METATRADER_5 = 5

Calls = Generator[RestCall, RestAnswer, Any]


class LocatedAccount(NamedTuple):
    """A configured account and where it runs.

    `name`: its name in the configuration. `id`: that of the account, or of its replica in the region. `version`: of
    MetaTrader, 4 or 5.
    """

    name: str
    id: str
    region: str
    version: int
    settings: AccountSettings


# Accounts that were looked up, by venue and account name: the settings at that time, the account, and the address of
# the service that has its history.
KnownAccounts = dict[tuple[str, str], tuple[MetaapiSettings, LocatedAccount, str]]


def discover(venue: str, settings: MetaapiSettings, known: KnownAccounts | None = None) -> Discovery:
    """Look the accounts up and plan the connections. Raises `VenueError` where none of them can stream.

    The accounts are also put into `known`, so that `history` need not look them up again.
    """
    problems: list[Problem] = []
    located_accounts: list[LocatedAccount] = []
    unavailable: list[str] = []
    for name, account_settings in settings.accounts.items():
        try:
            located = yield from look_up(venue, settings, name, account_settings)
        except VenueError as error:
            if error.code != "404":
                raise
            located = f"the venue has no account {account_settings.id}: {error.reason}"
        if isinstance(located, str):
            unavailable.append(f"account {name}: {located}")
            problems.append(Problem(f"account {name}", located))
        else:
            located_accounts.append(located)
    if not located_accounts:
        raise VenueError(venue, "; ".join(unavailable))
    hostname, domain = yield from servers(venue, settings)
    groups: dict[str, list[tuple[LocatedAccount, dict[str, Any]]]] = {}
    instruments: dict[Instrument, InstrumentSpec] = {}
    for account in located_accounts:
        hosts = Hosts.of_region(settings, hostname, domain, account.region)
        if known is not None:
            known[venue, account.name] = settings, account, hosts.market_data
        listed = yield from _symbols(venue, settings, hosts, account, problems)
        chosen, unknown_symbols = choose(account, listed)
        problems += unknown_symbols
        description, unsupported = describe(settings, account, chosen)
        problems += unsupported
        prefix = description["prefix"]
        taken = [symbol for symbol in chosen if Instrument(venue, prefix + symbol) in instruments]
        if taken:
            text = 'another account has a symbol of the same name; set symbol_names = "account"'
            problems += [Problem(f"account {account.name}: {symbol}", text) for symbol in taken]
            description["symbols"] = [symbol for symbol in chosen if symbol not in taken]
        for symbol in chosen if listed is None else listed:
            instrument = Instrument(venue, prefix + symbol)
            instruments.setdefault(
                instrument, InstrumentSpec(instrument, None, None, UNKNOWN_KIND, None, None, "listed", "{}", 0)
            )
        if description["symbols"] and description["kinds"]:
            groups.setdefault(account.region, []).append((account, description))
    connections = tuple(
        _connection(venue, settings, Hosts.of_region(settings, hostname, domain, region), number, part)
        for region, members in sorted(groups.items())
        for number, part in enumerate(_parts(members, settings.accounts_per_connection), start=1)
    )
    return Plan(
        connections=connections,
        instruments=tuple(instruments.values()),
        problems=tuple(problems),
        look_again_seconds=UNAVAILABLE_RECHECK_SECONDS if unavailable else None,
    )


def look_up(
    venue: str, settings: MetaapiSettings, name: str, account: AccountSettings
) -> Generator[RestCall, RestAnswer, LocatedAccount | str]:
    """Return an account and where it runs, or a text that says why it cannot stream."""
    content = yield from _get(venue, settings, provisioning(settings), "users", "current", "accounts", account.id)
    if type(content) is not dict:
        raise VenueError(venue, f"the answer about account {name} is not a JSON object; check base_url or domain")
    version = content.get("version")
    replicas = content.get("accountReplicas")
    homes: dict[str, dict[str, Any]] = {}
    for home in (content, *(replicas if type(replicas) is list else ())):
        if type(home) is dict and type(home.get("region")) is str and type(home.get("_id", "")) is str:
            homes.setdefault(home["region"], home)
    region = settings.region or content.get("region")
    home = homes.get(region) if type(region) is str else None
    if home is None:
        return f"it does not run in region {region}; its regions: {', '.join(sorted(homes)) or 'none'}"
    state = home.get("state")
    if state != DEPLOYED:
        hint = "; deploy it yourself: this costs money, so it is not done for you" if state == "UNDEPLOYED" else ""
        return f"it is {state} and streams only when {DEPLOYED}{hint}"
    if type(version) is not int:
        version = _METATRADER_5
    return LocatedAccount(name, home.get("_id") or account.id, str(region), version, account)


def servers(venue: str, settings: MetaapiSettings) -> Generator[RestCall, RestAnswer, tuple[str, str]]:
    """Ask for the servers of this user. Returns the socket's host name and the domain of the regions."""
    parts = ("users", "current", "servers", "mt-client-api")
    content = yield from _get(venue, settings, provisioning(settings), *parts)
    hostname = content.get("hostname") if type(content) is dict else None
    domain = content.get("domain") if type(content) is dict else None
    if type(domain) is not str or not domain:
        raise VenueError(venue, "the venue's answer about its servers names no domain; check domain")
    return (hostname if type(hostname) is str and hostname else SHARED_HOST), domain


def _symbols(
    venue: str, settings: MetaapiSettings, hosts: Hosts, account: LocatedAccount, problems: list[Problem]
) -> Generator[RestCall, RestAnswer, list[str] | None]:
    """Return the broker's symbols; None, with a problem noted, where the list is not available."""
    try:
        content = yield from _get(venue, settings, hosts.client, "users", "current", "accounts", account.id, "symbols")
    except VenueError as error:
        if error.code in ("401", "403"):
            raise
        text = f"its list of symbols is not available ({error.reason}), so names are used without a check"
        problems.append(Problem(f"account {account.name}", text))
        return None
    if type(content) is not list:
        problems.append(Problem(f"account {account.name}", "its list of symbols is not a list"))
        return None
    return [symbol for symbol in content if type(symbol) is str and _well_formed(symbol)]


def _well_formed(symbol: str) -> bool:
    return 0 < len(symbol) <= _SYMBOL_MAX_CHARACTERS and symbol.isprintable()


def _get(venue: str, settings: MetaapiSettings, base: str, *parts: str) -> Calls:
    headers = {"auth-token": settings.token.get_secret_value()}
    answer = yield RestCall("/".join(parts[2:3]), base + path(*parts), headers=headers, record=False)
    return content_of(venue, f"the answer about {parts[2]}", answer)


def choose(account: LocatedAccount, listed: Sequence[str] | None) -> tuple[list[str], list[Problem]]:
    """Return the symbols that an account's configured names and patterns match, each once, and what matches none.

    `listed` are the broker's symbols; None where they are not known, so that names are taken without a check.
    """
    chosen: dict[str, None] = {}
    problems: list[Problem] = []
    for configured in account.settings.symbols:
        subject = f"account {account.name}: {configured}"
        is_a_pattern = is_pattern(configured)
        if listed is None:
            if is_a_pattern:
                problems.append(Problem(subject, "a pattern needs the account's list of symbols"))
            elif _well_formed(configured):
                chosen[configured] = None
        elif configured in listed:
            chosen[configured] = None
        elif is_a_pattern and (matching := [symbol for symbol in sorted(listed) if fnmatchcase(symbol, configured)]):
            chosen.update(dict.fromkeys(matching))
        else:
            hint = did_you_mean(get_close_matches(configured, listed, n=_SUGGESTIONS_MAX))
            reason = "matches no symbol of the broker" if is_a_pattern else "the broker has no such symbol"
            problems.append(Problem(subject, reason + hint))
    return list(chosen), problems


def named(settings: MetaapiSettings) -> dict[str, list[str]]:
    """Return the instruments that the configuration names (not those that patterns match), by stream.

    Streams that only MetaTrader 5 has are left out: an account's version is known only after discovery.
    """
    by_stream: dict[str, list[str]] = {}
    for name, account in settings.accounts.items():
        for stream in settings.streams_of(account):
            if stream in ("ticks", "candles"):
                prefix = settings.prefix(name)
                symbols = [prefix + configured for configured in account.symbols if not is_pattern(configured)]
                by_stream.setdefault(stream, []).extend(symbols)
    return by_stream


def describe(
    settings: MetaapiSettings, account: LocatedAccount, symbols: Sequence[str]
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the account's part of the session's header, and a problem for each configured stream that it cannot have.

    The header is journalled, and parser and conversation are made of it: `symbols` in their order, which numbers them
    in requests; `kinds` of data to subscribe to; `tick_rows`, whether ticks are stored or only their deals.
    """
    streams = list(settings.streams_of(account.settings))
    explicit = account.settings.streams is not None  # streams of the whole venue may hold what other accounts have
    problems: list[Problem] = []
    old = account.version < _METATRADER_5
    source = settings.ticks_of(account.settings)
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
        if explicit:
            problems.append(Problem(f"account {account.name}: trades", "MetaTrader 4 has no ticks with deals"))
    if "books" in streams and old:
        streams.remove("books")
        if explicit:
            problems.append(Problem(f"account {account.name}: books", "MetaTrader 4 has no market depth"))
    if "books" in streams:
        kinds.append("marketDepth")
    if "candles" in streams:
        for period in settings.candles_of(account.settings):
            if old and period not in MT4_PERIODS:
                problems.append(Problem(f"account {account.name}: {period}", "MetaTrader 4 has no such candles"))
            else:
                kinds.append(f"candles/{venue_name(period)}")
    description = {
        "name": account.name,
        "prefix": settings.prefix(account.name),
        "symbols": list(symbols),
        "streams": streams,
        "kinds": kinds,
        "tick_rows": tick_rows,
    }
    return description, problems


def _parts(members: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [members[start : start + size] for start in range(0, len(members), size)]


def _connection(
    venue: str,
    settings: MetaapiSettings,
    hosts: Hosts,
    number: int,
    members: Sequence[tuple[LocatedAccount, dict[str, Any]]],
) -> ConnectionPlan:
    name = f"{venue}-{hosts.region}-{number}"
    url = hosts.socket(settings.instance)
    accounts: dict[str, Mapping[str, Any]] = {account.id: description for account, description in members}
    subscriptions = [
        planned
        for account_id, description in accounts.items()
        for planned in _subscriptions(settings, account_id, description)
    ]
    own = {
        "instance": settings.instance,
        "accounts": accounts,
        "candle_series": settings.candle_series,
        **grace_entry(settings),
        "reorder_us": round(settings.reorder_seconds * 1_000_000),
        "refresh_seconds": settings.refresh_seconds,
        "status_seconds": settings.status_seconds,
        "intervals": dict(settings.intervals),
    }
    address = f"{url}?{socket_query(settings.token.get_secret_value())}"
    return ConnectionPlan(name, address, tuple(subscriptions), SessionHeader(venue, ADAPTER_NAME, own=own))


def _subscriptions(
    settings: MetaapiSettings, account_id: str, description: Mapping[str, Any]
) -> Generator[Subscription, None, None]:
    symbols = tuple(description["prefix"] + symbol for symbol in description["symbols"])
    for kind in description["kinds"]:
        stream = STREAM_OF_KIND[kind.partition("/")[0]]
        if kind == "ticks" and not description["tick_rows"]:
            continue  # they are only the source of trades, which are planned below
        params = {"account": account_id, "kind": kind, **subscription(kind, settings.intervals)}
        yield Subscription(f"{description['name']}/{kind}", stream, symbols, params, prompt=False)
    if "trades" in description["streams"]:
        params = {"account": account_id, "kind": "ticks", **subscription("ticks", settings.intervals)}
        yield Subscription(f"{description['name']}/trades", "trades", symbols, params, prompt=False)
