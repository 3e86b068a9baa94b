"""Predict one model on every device of the catalog, by roofline, with its interval."""

from lydite.estimate import Roofline, predict
from lydite.hardware import known_devices
from lydite.models import build_model
from lydite.units import format_seconds

graph = build_model("resnet50", batch=8)
for name, device in known_devices().items():
    total = predict(graph, device, Roofline()).total
    low, high = format_seconds(total.low), format_seconds(total.high)
    print(f"{name:<24} {format_seconds(total.seconds):>9}  ({low} to {high})")
