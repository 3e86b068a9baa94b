"""Gradient rules: operators that the backward pass appends for each operator, by family."""
