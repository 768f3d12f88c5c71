"""Numbers of the advisory locks by which collectors on one database keep out of each other's way.

They are arbitrary, and chosen so that no other program on the same server is likely to use them. The lock on a
journal's name has a number made from the name: see `collector.store.place`.
"""

from __future__ import annotations

from typing import Final

MIGRATION_LOCK: Final = 7_303_014_201_563_187_041
ROLLUP_LOCK: Final = 7_303_014_201_563_187_042
RETENTION_LOCK: Final = 7_303_014_201_563_187_043
