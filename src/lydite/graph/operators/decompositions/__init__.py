"""Decompositions: primitives that together compute the same as an operator."""
