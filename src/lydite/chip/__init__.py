"""Chips that are not built yet: cycles, power and area of a network on an accelerator."""
