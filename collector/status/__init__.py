"""What a running daemon tells of itself; looking changes nothing, waits for nothing and never raises."""
