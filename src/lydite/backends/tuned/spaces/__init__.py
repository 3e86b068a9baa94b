"""The schedule spaces, one file for each family of algorithms."""
