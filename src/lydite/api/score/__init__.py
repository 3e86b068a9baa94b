"""The verbs of the scorecard: `score`, `score_compare`, `score_verify` and `score_board`."""
