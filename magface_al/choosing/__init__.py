"""Which pairs are worth a question."""
