"""The status over HTTP: health, metrics, JSON and a page for people. It reads and never changes anything."""
