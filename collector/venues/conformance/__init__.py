"""Tries an adapter on what its venue sends: `python -m collector.venues.conformance NAME`."""
