"""Time two functions against each other with the protocol that all of Lydite uses."""

import numpy as np

from lydite.measure import TimingPlan, measure


class Call:
    """Anything with `run` and `synchronize` can be timed."""

    def __init__(self, function):
        self.run = function

    def synchronize(self):
        pass


a = np.ones((64, 64), np.float32)
found = measure(
    {"product": Call(lambda: a @ a), "sum": Call(lambda: a + a)}, TimingPlan(rounds=5, budget_s=0.2)
)
for name, timing in found.items():
    print(f"{name}: {timing.median_s * 1e6:.1f} us, {len(timing.samples_s)} samples")
    for warning in timing.warnings:
        print(f"  {warning}")
