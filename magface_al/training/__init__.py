"""Training a recognition model on labelled faces."""
