"""What two venues or more would write alike. Nothing in here knows a venue."""
