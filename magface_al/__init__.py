"""Make a face-recognition model better from a person's answers about pairs of faces."""

__version__ = "0.1.0"
