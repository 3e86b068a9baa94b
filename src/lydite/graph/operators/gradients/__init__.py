"""Gradient rules: what the backward pass appends for an operator, one file a family."""
