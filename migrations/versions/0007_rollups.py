"""Rollups: bars of 1 minute, 5 minutes, 1 hour and 1 day, kept from trades, and functions that read them."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
