"""Device files, one a device."""
