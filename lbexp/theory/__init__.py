"""The noisy quadratic model in closed form and as exact recursions: one file, one question. Imports
jax, NumPy and `lbexp.shapes` alone."""
