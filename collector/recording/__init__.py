"""The heart: frames into the journal, through the parsers and into the tables; and the position that says how far."""
