"""Fetches missing data from the venues' history: repairs of gaps in the daemon, and backfills on request."""
