"""Quotes at many moments, found a day at a time."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
