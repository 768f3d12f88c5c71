"""Audit: what was proved about each minute, journal segment and order book."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
