"""A search plays few plans: the best of all are among them, as playing every plan shows."""

import numpy as np
import pytest

from lydite.cluster.search import RankedPlans, search
from lydite.estimate.roofline import Roofline
from lydite.hardware.cluster import read_cluster
from lydite.models import build_model


@pytest.fixture(scope="module")
def both() -> tuple[RankedPlans, RankedPlans]:
    """The search as users run it, and one that plays every plan."""

    def build(micro_batch: int, *_: int):
        return build_model(
            "gpt2-medium", batch=micro_batch, sequence=512, phase="forward", dtype="bfloat16"
        )

    few, every = (
        search(build, read_cluster("dgx-h100"), 4, Roofline(), keep=keep) for keep in (10, 10**6)
    )
    return few, every


def test_the_best_of_all_plans_is_found(both):
    few, every = both
    assert len(every.best) == every.fitting > 100
    assert len(few.best) == 10
    assert few.best[0].plan == every.best[0].plan
    assert few.best[0].seconds == every.best[0].seconds


def test_the_closed_form_is_near_what_is_played(both):
    _, every = both
    ratios = {
        zero: np.array(
            [
                result.seconds / every.guessed[result.plan]
                for result in every.best
                if (result.plan.zero == 3) == zero
            ]
        )
        for zero in (False, True)
    }
    assert ratios[False].min() > 0.9
    assert ratios[False].max() < 1.6
    assert np.median(ratios[False]) < 1.1
    assert ratios[True].min() > 0.9  # gathers wait for each other layer by layer


def test_a_plan_without_messages_is_what_the_closed_form_says(both):
    _, every = both
    alone = [r for r in every.best if r.plan.replicas == r.plan.pp == 1 and r.plan.zero == 0]
    assert alone
    for result in alone:
        assert result.seconds == pytest.approx(every.guessed[result.plan], rel=1e-3)
