"""What commands print: tables, lines of text, and what of a foreign text may reach a terminal."""
