"""Calibration of constants to measured steps (`steps`) and measured collectives (`collectives`)."""
