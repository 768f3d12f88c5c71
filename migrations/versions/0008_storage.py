"""Storage: retention and compression by age, and quicker answers to analysts."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
