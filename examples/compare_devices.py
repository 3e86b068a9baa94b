"""Predict one model on several devices of the catalog, with the interval of each prediction."""

import lydite as ly
from lydite.units import format_seconds

model = ly.load("resnet50", batch=8)
for name in ("t4", "v100", "a100", "h100", "mi250"):
    found = ly.predict(model, on=name)
    low, high = format_seconds(found.low_s), format_seconds(found.high_s)
    print(f"{found.device.title:<32} {format_seconds(found.seconds):>9}  ({low} to {high})")
