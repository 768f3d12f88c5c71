"""A PostgreSQL of our own, for those who have configured none.

`installation` finds the programs and `fetching` gets them on request, `cluster` keeps the files of one database
server under `data_dir/postgres`, `account` decides which ordinary user it runs as, `server` starts and stops it, and
`bootstrap` makes the database and its roles. It listens on a socket in its own folder, and asks for passwords.
"""

from __future__ import annotations

from collector.store.embedded.fetching import install
from collector.store.embedded.installation import Installation, Kind, find, server_folder
from collector.store.embedded.server import EmbeddedServer, Hint

__all__ = ["EmbeddedServer", "Hint", "Installation", "Kind", "find", "install", "server_folder"]
