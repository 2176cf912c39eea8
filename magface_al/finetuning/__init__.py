"""Fine-tuning a model on answered pairs."""
