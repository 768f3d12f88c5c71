"""Market data: tables of facts, the books kept about them, views for people."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
