"""What two simulated venues or more do alike. Nothing in here knows a venue."""
