"""What bundles and checkpoints record of two models, compared part by part; no weight is read."""
