"""What the parser tells the conversation beyond the events that all venues share."""

from __future__ import annotations

# The venue's words for what happened, and what each of them tells besides the account's name.
OPEN = "open"  # ping_interval, ping_timeout in seconds
CONNECTED = "connected"
RESPONSE = "response"  # request_id
CLOSED = "closed"  # reason
PONG = "pong"
AUTHENTICATED = "authenticated"  # host, session_id, now (as the venue writes times)
STATUS = "status"  # connected, authenticated: the terminal to its broker
DISCONNECTED = "disconnected"
STARTED = "started"  # synchronization_id
PROGRESS = "progress"
FINISHED = "finished"  # synchronization_id
LOST = "lost"  # expected, got
DOWNGRADED = "downgraded"  # symbol, updates, unsubscriptions
LIMITED = "limited"  # request_id, seconds, limit, new_client_id
