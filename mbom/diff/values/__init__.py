"""The values of the weights of two models, compared as they are streamed or estimated from sketches."""
