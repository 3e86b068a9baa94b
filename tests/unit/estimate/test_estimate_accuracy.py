import pytest

from lydite.errors import InputError
from lydite.estimate import Accuracy, Point


def test_summary_by_hand():
    found = Accuracy.of(
        [
            Point("a", 1.1, 1.0, 0.9, 1.2),
            Point("b", 0.8, 1.0, 0.7, 0.9),
            Point("c", 3.06, 3.0, 3, 3.1),
        ]
    )
    assert found.median_abs == pytest.approx(0.10)
    assert found.mean_abs == pytest.approx((0.1 + 0.2 + 0.02) / 3)
    assert found.worst.name == "b"
    assert found.bias == pytest.approx((0.1 - 0.2 + 0.02) / 3)
    assert found.within(0.11) == pytest.approx(2 / 3)
    assert found.inside == pytest.approx(2 / 3)


@pytest.mark.parametrize("measured", [0.0, -1.0, float("nan"), float("inf")])
def test_a_baseline_of_nothing_is_refused(measured):
    with pytest.raises(InputError, match="vgg16"):
        Point("vgg16", 1.0, measured, 0.5, 2.0)


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError):
        Accuracy.of([])
