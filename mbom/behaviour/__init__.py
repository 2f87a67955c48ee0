"""What a checkpoint does, as numbers: prompts, the record of a measurement, and the comparison of two."""
