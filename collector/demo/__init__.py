"""Simulated venues, a daemon and a comparison of its tables with what the venues sent."""
