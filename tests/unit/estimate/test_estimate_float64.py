"""Double precision has the device's own peak, or no estimate."""

from __future__ import annotations

import pytest

import lydite
from lydite.errors import InputError
from lydite.estimate.roofline import Roofline
from lydite.graph import Builder, all_keys
from lydite.hardware import find_device


def product(dtype: str, size: int = 8192):
    g = Builder("product", dtype=dtype)
    return g.build(g.linear(g.input("x", (size, size)), size, bias=False))


def seconds(dtype: str, device: str) -> float:
    (estimate,) = Roofline(dispatch_s=0.0).estimate(all_keys(product(dtype)), find_device(device))
    assert estimate is not None
    return estimate.seconds


@pytest.mark.parametrize(
    ("device", "float64", "float32"), [("h100", 33.5, 66.9), ("a100", 9.7, 19.5)]
)
def test_large_products_take_as_much_longer_as_the_peak_is_lower(device, float64, float32):
    """Peaks in TFLOP/s of vector units, from NVIDIA's architecture whitepapers."""
    ratio = seconds("float64", device) / seconds("float32", device)
    assert ratio == pytest.approx(float32 / float64, rel=0.02)


def test_a_device_that_states_no_peak_has_no_estimate():
    result = lydite.predict(product("float64"), on="l4")
    assert not result.complete
    assert "note: nvidia-l4 states no peak for float64" in result.summary()
    assert result.document()["notes"] == list(result.notes)
    assert lydite.predict(product("float32"), on="l4").notes == ()
    with pytest.raises(InputError, match="l4 states no peak for float64"):
        lydite.simulate(product("float64"), on="l4 x 2", dp=2)


def test_models_are_built_in_double_precision():
    double = lydite.load("resnet18", dtype="float64")
    assert double.graph.parameter_bytes == 2 * lydite.load("resnet18").graph.parameter_bytes
    assert lydite.predict(double, on="h100").complete
