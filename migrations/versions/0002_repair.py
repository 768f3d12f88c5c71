"""Repair: what was tried on gaps, what was backfilled, and a view of what is covered."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
