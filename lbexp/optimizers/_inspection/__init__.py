"""What one reads from the state of an optimizer."""
