"""Serving: options, deployments, searches."""
