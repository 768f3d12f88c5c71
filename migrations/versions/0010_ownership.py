"""Ownership: who moves a journal's position, which journal tells of a session, and a key of the quarantine."""

from collector.store.steps import forward_only, run_sql_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the statements."""
    run_sql_beside(__file__)


downgrade = forward_only
