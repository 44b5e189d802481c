"""What the layerwise optimizers are made of: layers, norms, masks and the lists they are worked on
in."""
