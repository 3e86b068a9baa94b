"""Dataflows and tilings: found by name, and no kind of array known outside its own package."""

from __future__ import annotations

import ast
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

import lydite
from lydite.chip import run_chip
from lydite.chip.dataflow import Dataflow, dataflow_of
from lydite.chip.figures import energy_of
from lydite.chip.tilings import TILINGS, TilingPolicy
from lydite.errors import InputError
from lydite.hardware.chip import DATAFLOWS, ArrayParameters, known_chips, read_chip
from lydite.models import build_model

SOURCE = Path(lydite.__file__).parent
ARRAYS = {DATAFLOWS.find(kind).parameters.__name__ for kind in DATAFLOWS} | {"ArrayParameters"}
HOMES = {
    "RowStationaryArray": ("chip/row_stationary",),
    "SmvArray": ("chip/smv/", "compat/smaug/"),
    "SystolicArray": ("chip/systolic/", "compat/scalesim/", "compat/onnxim"),
}
"""Where a kind of array may be named: its own package, and the reader of its simulator's files."""


@cache
def files() -> list[tuple[str, str]]:
    paths = sorted(SOURCE.rglob("*.py"))
    return [(path.relative_to(SOURCE).as_posix(), path.read_text()) for path in paths]


def names_in(tree: ast.AST) -> set[str]:
    """Names that a piece of code uses, text in quotes left out."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_no_kind_of_array_is_known_outside_its_own_package():
    named = 0
    for place, text in files():
        if place in ("hardware/chip/arrays.py", "hardware/chip/__init__.py"):
            continue
        if not any(name in text for name in HOMES):
            continue
        named += 1
        for name in names_in(ast.parse(text)) & HOMES.keys():
            assert place.startswith(HOMES[name]), f"{place} names {name}"
    assert named > 5


def test_isinstance_asks_for_no_kind_of_array():
    asked = 0
    for place, text in files():
        for node in ast.walk(ast.parse(text)) if "isinstance" in text else ():
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked += 1
                kinds = names_in(node.args[1]) & ARRAYS
                assert all(place.startswith(HOMES[kind]) for kind in kinds), place
    assert asked > 100  # the walk does see such calls


@pytest.mark.parametrize("kind", list(DATAFLOWS))
def test_every_dataflow_is_whole(kind):
    dataflow = DATAFLOWS.find(kind)
    assert isinstance(dataflow, Dataflow)
    parameters = dataflow.parameters
    assert issubclass(parameters, ArrayParameters)
    assert parameters.kind == kind
    assert parameters.doubled in {each.name for each in fields(parameters)}
    chips = [chip for chip in known_chips().values() if chip.array.kind == kind]
    assert chips, "the catalog shows each kind"
    for chip in chips:
        assert dataflow_of(chip) is dataflow
        described = dataflow.describe(chip)
        assert described.text and described.cycles_from
        assert {pad.name for pad in chip.scratchpads} >= chip.array.required_scratchpads().keys()


def test_a_policy_is_one_price(monkeypatch):
    """Energy times delay, as somebody else's package would add it."""
    policy = TilingPolicy(lambda seconds, joules: seconds * joules())
    monkeypatch.setattr("lydite.chip.tilings.EDP", policy, raising=False)
    with TILINGS.added("edp", "lydite.chip.tilings:EDP"):
        for chip in ("smv", "gemmini-like"):
            graph, names = build_model("lenet5"), ("edp", "usual")
            results = [run_chip(graph, read_chip(chip), tiling=name) for name in names]
            found, usual = (each.seconds * energy_of(each).joules for each in results)
            assert found <= usual
    assert "edp" not in TILINGS


def test_an_unknown_tiling_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown tiling 'bst'; .* did you mean 'best'"):
        run_chip(build_model("lenet5"), read_chip("smv"), tiling="bst")
