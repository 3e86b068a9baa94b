"""MLPerf Inference as verbs: run, peak, explain and what belongs to a submission."""
