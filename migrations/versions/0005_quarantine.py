"""Quarantine: under which journal an entry is counted, and what became of it, in one word."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
