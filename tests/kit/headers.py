"""Headers of sessions for tests, from as little as matters there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.venues.header import SessionHeader


def session_header(told: Mapping[str, Any]) -> SessionHeader:
    """Return the header that this JSON means; the venue's name is `fake` and the adapter's the venue's if left out."""
    venue = told.get("venue", "fake")
    return SessionHeader.from_json({"venue": venue, "adapter": venue, **told})
