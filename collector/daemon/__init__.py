"""The program that records: makes its parts, joins them, keeps them running and ends them in the right order."""
