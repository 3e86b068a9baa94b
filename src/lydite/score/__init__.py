"""The scorecard: models run on a device, watched, and scored against a baseline of 1000."""
