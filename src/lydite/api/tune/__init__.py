"""Verbs that tune operators and nets."""
