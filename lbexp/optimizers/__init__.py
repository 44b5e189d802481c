"""Optimizers as plain optax gradient transformations; imports jax and optax alone."""
