"""Device files, one per device."""
