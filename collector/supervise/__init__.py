"""Keeps failures of one part of the daemon from the others: they are logged and counted, and the part is restarted."""
