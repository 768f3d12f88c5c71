"""What commands are given: names of venues and streams, times and durations, and old spellings of options."""
