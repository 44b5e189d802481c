"""Curvature of a loss: eigenvalues, traces, densities, sharpness, noise beside curvature, slices.

Pure functions of a loss (params -> scalar) and parameters, which are any tree of arrays. What is
measured is that function and no other: which examples it averages over, and what batch norm and
dropout do in it, is said by whoever builds it. Each number has an error: a residual, a standard
error, or an interval.

    loss = operators.sample_loss(losses, examples, chunk=256)
    product = operators.hessian_product(loss, params)
    spectrum = lanczos.ritz(lanczos.tridiagonal(product, params, key, steps=20))
    spectrum.values[-1], spectrum.residuals[-1]

Costs are told in gradients: one of the loss over all its examples. A Hessian product takes 2 to 3.
"""
