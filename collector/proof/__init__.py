"""Journal and tables compared, row by row and frame by frame."""
