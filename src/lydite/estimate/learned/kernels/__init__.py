"""Compiled loops of the learned estimator."""
