"""Compiled loops of runs in virtual time."""
