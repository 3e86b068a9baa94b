"""Decompositions: primitives that compute the same as an operator."""
