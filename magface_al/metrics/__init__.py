"""Numbers from scores; no files."""
