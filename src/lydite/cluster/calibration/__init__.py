"""Constants from measurements: of whole steps (`steps`), and of collectives (`collectives`)."""
