"""The catalog: devices, chips and clusters, one YAML file each, with a source for every figure."""
