"""Named reasons for a change of weights, one module for each family."""
