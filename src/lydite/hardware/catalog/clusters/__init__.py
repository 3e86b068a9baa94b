"""Cluster files, one per cluster."""
