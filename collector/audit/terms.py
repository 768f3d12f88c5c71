"""How the venues of a configuration may be audited, and the verdicts that there are."""

from __future__ import annotations

from collector import venues
from collector.audit.subjects import Terms, terms
from collector.config import Config

VERDICTS = ("complete", "explained", "unexplained", "not comparable")


def configured_terms(config: Config) -> dict[str, Terms]:
    """Return what an audit may compare at each venue of the configuration."""
    configured = {name: (venues.find(one.adapter), one.settings) for name, one in config.venues.items()}
    return terms(configured, fetch=config.audit.fetch_candles)
