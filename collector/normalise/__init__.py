"""Frames to records."""
