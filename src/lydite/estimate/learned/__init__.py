"""Operators on GPUs that were never measured: physics first, and a learned correction of it."""
