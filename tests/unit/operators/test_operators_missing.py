"""What an operator lacks is refused or reported by name, never guessed."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("torch")
from lydite.backends import Settings, find_backend
from lydite.chip import run_chip
from lydite.chip.plan import CPU
from lydite.cluster.tensor import rank_share
from lydite.errors import BackendError, GraphError
from lydite.graph import Graph, Initializer, Op, Operand, OpKey, TensorType, work_of_key
from lydite.graph.graph import UNKNOWN
from lydite.graph.operators import Missing, facet, operators
from lydite.graph.shapes.infer import infer_outputs
from lydite.graph.training import training_step
from lydite.hardware.chip import read_chip

SQUARE = TensorType("float32", (4, 4))


def lacking(name: str) -> list[str]:
    find_backend("torch")  # registers how PyTorch runs operators
    return sorted(row for row in operators() if isinstance(facet(row, name), Missing))


def call_of(qualified: str, x: str, y: str = "y") -> Op:
    domain, _, op_type = qualified.rpartition(":")
    return Op("the_operator", op_type, (x,), (y,), {}, domain)


def behind_a_weight(qualified: str) -> Graph:
    """A weight, an operator, and its output."""
    op = call_of(qualified, "w")
    return Graph(
        "net",
        (op,),
        {"w": SQUARE, "y": SQUARE},
        (),
        ("y",),
        {"w": Initializer(SQUARE)},
        {"": 20, op.domain: 1} if op.domain else {"": 20},
    )


@pytest.mark.parametrize("name", lacking("work"))
def test_work_that_is_missing_is_unknown(name):
    domain, _, op_type = name.rpartition(":")
    key = OpKey(op_type, (Operand(SQUARE),), (SQUARE,), {}, domain, 1)
    assert work_of_key(key) is None


@pytest.mark.parametrize("name", lacking("types"))
def test_types_that_are_missing_are_unknown(name):
    op = call_of(name, "x")
    assert infer_outputs(op, [SQUARE], [None], {"": 20, op.domain: 1}) == [UNKNOWN]


@pytest.mark.parametrize("name", lacking("gradient"))
def test_training_names_what_has_no_gradient(name):
    reason = facet(name, "gradient").reason
    with pytest.raises(GraphError, match=re.escape(f"no gradient is known for {name} ({reason})")):
        training_step(behind_a_weight(name), loss="sum")


@pytest.mark.parametrize("name", lacking("split"))
def test_tensor_parallelism_names_what_is_not_shared(name):
    wide = TensorType("float32", (4, 8))
    product = Op("product", "MatMul", ("x", "w"), ("h",))
    op = call_of(name, "h")
    graph = Graph(
        "net",
        (product, op),
        {"x": SQUARE, "w": wide, "h": wide, "y": wide},
        ("x",),
        ("y",),
        {"w": Initializer(wide)},
        {"": 20, op.domain: 1} if op.domain else {"": 20},
    )
    share = rank_share(graph, 2)
    assert share.whole == {name: 1}
    assert share.graph.type_of("y") == wide
    gathers = [op for op in share.graph.ops if op.name.endswith("/AllGather")]
    assert len(gathers) == 1


@pytest.mark.parametrize("name", lacking("array"))
def test_chips_name_what_the_processor_runs(name):
    graph = behind_a_weight(name)
    (cost,) = run_chip(graph, read_chip("systolic-128"), fuse=False).plan.costs
    assert cost.on == CPU
    assert cost.fallback_reason == f"{name}: {facet(name, 'array').reason}"


@pytest.mark.parametrize("name", lacking("torch"))
def test_torch_names_what_it_cannot_run(name):
    reason = facet(name, "torch").reason
    with pytest.raises(BackendError, match=re.escape(f"operator {name}: {reason}")):
        find_backend("torch").prepare(behind_a_weight(name), Settings())
