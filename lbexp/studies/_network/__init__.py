"""What is computed of a network beside its training."""
