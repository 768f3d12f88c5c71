"""Wanted: what the configuration asked for and since when, which coverage is measured against."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
