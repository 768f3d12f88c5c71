"""For analysts: instruments through time with common names, and functions that answer the usual questions."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
