"""Face sets from one form into another."""
