"""The catalog: devices, chips and clusters, one YAML file each, every figure with its source."""
