"""Fitting on with own rows, splits, and models that have seen what judges them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lydite as ly
from lydite.errors import InputError
from lydite.estimate.learned.estimator import Learned
from lydite.estimate.learned.model import read_model, shipped
from lydite.estimate.learned.trees import read_trees
from lydite.graph import Builder, key_of
from lydite.hardware import find_device
from lydite.learn.refit import refit
from lydite.learn.rows import make_rows
from lydite.learn.split import read_split, refuse_known
from lydite.store import Conditions, Database, Measurement, Software

DEVICE = "nvidia-l4"


def sizes(number: int) -> np.ndarray:
    draw = np.random.default_rng(1)
    return np.concatenate([np.ones((number, 1)), draw.integers(64, 4096, (number, 3))], axis=1)


def slower(number: int, factor: float):
    """Rows that take `factor` times what the shipped model predicts."""
    model = shipped().families["product16"]
    own = make_rows("product16", DEVICE, sizes(number), np.full(number, 1e9))
    guess = own.problem.base_s * np.exp(model.trees.values(own.problem.features))
    return make_rows("product16", DEVICE, sizes(number), factor * guess)


def test_a_factor_is_fitted_on_and_kept():
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    found = refit(shipped(), [slower(200, 1.5)])["product16"]
    assert found.kept
    assert found.before == pytest.approx(1 / 3, abs=0.01)
    assert found.after is not None
    assert found.after < 0.01
    assert DEVICE in found.fitted.family.devices


def test_few_rows_give_a_factor_and_none_give_nothing():
    few = refit(shipped(), [slower(20, 1.5)])["product16"]
    assert few.kept
    before = len(shipped().families["product16"].trees.roots)
    assert len(few.fitted.family.trees.roots) == before + 1
    none = refit(shipped(), [slower(5, 1.5)])["product16"]
    assert none.after is None
    assert none.fitted.family.text == shipped().families["product16"].text


def test_what_helps_no_row_left_out_is_not_kept():
    """Rows whose factors say nothing of each other."""
    rows = slower(60, 1.0)
    noise = np.exp(np.random.default_rng(2).normal(0, 1, 60))
    noisy = make_rows("product16", DEVICE, sizes(60), rows.seconds * np.maximum(noise, 1.0))
    found = refit(shipped(), [noisy])["product16"]
    assert found.after is not None
    assert found.after > found.before
    assert not found.kept
    assert found.fitted.family.text == shipped().families["product16"].text


def database(path, factor: float):
    """Own measurements of products in bfloat16 on an L4."""
    rows = []
    for _, m, n, k in sizes(120).astype(int).tolist():
        g = Builder("net", dtype="bfloat16")
        graph = g.build(g.op("MatMul", g.input("x", (m, k)), g.weight((k, n), "w")))
        key = key_of(graph.ops[-1], graph)
        (guess,) = Learned(shipped()).estimate([key], find_device(DEVICE))
        assert guess is not None
        samples = np.full(3, factor * guess.seconds)
        rows.append(
            Measurement(
                key, DEVICE, Software("torch", {"torch": "2.9"}), Conditions(threads=1), samples
            )
        )
    with Database.open(path) as made:
        made.add(rows)
    return rows[0].key


def test_own_rows_come_out_of_the_database(tmp_path, monkeypatch):
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    from lydite.estimate.learned import model

    key = database(tmp_path / "own.db", 2.0)
    found = ly.learn_fit(tmp_path / "model", rows=tmp_path / "own.db", start="shipped")
    assert "product16: 120 own rows, mean error 50.0 % to" in found.summary()
    changed = read_model(tmp_path / "model")
    (before,) = Learned(shipped()).estimate([key], find_device(DEVICE))
    (after,) = Learned(changed).estimate([key], find_device(DEVICE))
    assert before is not None
    assert after is not None
    assert after.seconds == pytest.approx(2 * before.seconds, rel=0.02)
    assert changed.families["stream"].text == shipped().families["stream"].text
    assert changed.about["started_from"] == shipped().digest
    model.usual_model.cache_clear()
    monkeypatch.setenv("LYDITE_LEARNED", str(tmp_path / "model"))
    assert model.usual_model().digest == changed.digest
    model.usual_model.cache_clear()


def test_own_rows_and_a_model_come_together(tmp_path):
    with pytest.raises(InputError, match="fitted on from a model"):
        ly.learn_fit(tmp_path / "m", start="shipped")
    with pytest.raises(InputError, match="own rows alone"):
        ly.learn_fit(tmp_path / "m", start="shipped", rows="x.db", neusight=tmp_path)
    Database.open(tmp_path / "empty.db").close()
    with pytest.raises(InputError, match="no operator of a learned family"):
        ly.learn_fit(tmp_path / "m", start="shipped", rows=tmp_path / "empty.db")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"train": ["a"]}', "is no split"),
        ("[]", "is no split"),
        ('{"train": ["a"], "test": ["a"]}', "device that it judges: a"),
        ('{"train": ["a"], "test": ["c"]}', "device of the rows"),
        ('{"train": ["a"], "test": []}', "names no device"),
    ],
)
def test_splits_that_are_wrong(tmp_path, text, message):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_split(path, ["a", "b"])
    path.write_text(json.dumps({"train": ["a"], "test": ["b"]}))
    assert read_split(path, ["a", "b"]).test == ("b",)


def test_a_model_is_not_judged_on_rows_that_it_has_seen():
    rows = slower(200, 1.5)
    found = refit(shipped(), [rows])["product16"]
    model = shipped()
    refuse_known(model, [rows], [DEVICE])
    known = type(model)(
        model.families, {**model.about, "digests": {"product16": found.fitted.digests}}, ""
    )
    with pytest.raises(InputError, match=f"was trained on the rows of {DEVICE}"):
        refuse_known(known, [rows], [DEVICE])
    refuse_known(known, [rows], ["nvidia-t4"])


def test_joined_trees_are_read_as_one_sum():
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    rows = slower(200, 1.5)
    family = refit(shipped(), [rows])["product16"].fitted.family
    again = read_trees(family.text, "here").values(rows.problem.features)
    np.testing.assert_allclose(again, family.trees.values(rows.problem.features))
    numbers = [line for line in family.text.splitlines() if line.startswith("Tree=")]
    assert numbers == [f"Tree={place}" for place in range(len(family.trees.roots))]
