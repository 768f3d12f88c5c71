"""News: the headlines that venues publish, which belong to no instrument."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
