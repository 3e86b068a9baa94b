"""Cluster files, one a cluster."""
