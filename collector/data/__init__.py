"""Data for analysts: exports to files, frames in Python, charts. Reads the tables and never changes them."""
