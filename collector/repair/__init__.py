"""Getting back what was missed: the repair of gaps in the daemon, and backfills on request."""
