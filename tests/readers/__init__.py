"""Faults by class: each is tried on every reader (or writer) of the package that could have it."""
