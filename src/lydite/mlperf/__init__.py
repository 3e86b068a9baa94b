"""MLPerf Inference: rounds, runs under LoadGen or in virtual time, verdicts, submissions."""
