"""The field's benchmarks."""
