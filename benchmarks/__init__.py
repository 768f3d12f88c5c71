"""Measurements of what matters to a recorder: rows a second, lag, memory. `python -m benchmarks --help`.

Everything is measured from outside, on the program that users run: processes by what the kernel says of them, rows by
what the database says of them. Nothing here is imported by the collector.
"""
