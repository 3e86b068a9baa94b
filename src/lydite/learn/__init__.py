"""Learning from rows of others: reading them, fitting the learned estimator, and judging it."""
