"""ONNX's own backend test suite: two thousand small models, each read, typed and given its work."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, SequenceProto, TensorProto, helper, numpy_helper

from lydite.errors import InputError
from lydite.graph import (
    Graph,
    OpKey,
    graph_from_model,
    keys_of,
    model_to_proto,
    total_work,
    work_of_key,
)
from lydite.graph.dtypes import dtype_name
from lydite.graph.operators import Missing, facet

KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")
STEERING = 64
"""Integer inputs of at most this many elements become constants, as they are in real models."""


@dataclass(frozen=True)
class Case:
    name: str
    model: ModelProto
    inputs: list[np.ndarray | None]
    outputs: list[np.ndarray | None]
    output_types: list[str]


def array(item) -> np.ndarray | None:
    if isinstance(item, TensorProto):
        return numpy_helper.to_array(item)
    return np.asarray(item) if isinstance(item, np.ndarray | np.generic) else None


def dtype(item) -> str:
    found = array(item)
    if isinstance(item, TensorProto):
        return dtype_name(item.data_type)
    return "" if found is None else dtype_name(helper.np_dtype_to_tensor_dtype(found.dtype))


def stored(folder: Path, stem: str) -> Iterator[TensorProto | SequenceProto]:
    paths = folder.glob(f"test_data_set_0/{stem}_*.pb")
    for path in sorted(paths, key=lambda path: int(path.stem.rpartition("_")[2])):
        yield onnx.load_tensor(str(path))


def all_cases() -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite's own arithmetic overflows on purpose
        from onnx.backend.test.loader import load_model_tests

        found = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    for case in found:
        if case.model is not None:
            given, expected = case.data_sets[0] if case.data_sets else ((), ())
            model = case.model
        else:
            folder = Path(case.model_dir)
            model = onnx.load(str(folder / "model.onnx"))
            given, expected = list(stored(folder, "input")), list(stored(folder, "output"))
        yield Case(
            case.name,
            model,
            [array(item) for item in given],
            [array(item) for item in expected],
            [dtype(item) for item in expected],
        )


def too_old(model: ModelProto) -> bool:
    return any(item.domain in ("", "ai.onnx") and item.version < 7 for item in model.opset_import)


def steered(case: Case) -> ModelProto:
    """The model with its small integer inputs as constants."""
    model = ModelProto()
    model.CopyFrom(case.model)
    weights = {init.name for init in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in weights]
    for name, item in zip(names, case.inputs, strict=False):
        if item is not None and item.size <= STEERING and item.dtype.kind in "iub":
            model.graph.initializer.append(numpy_helper.from_array(item, name))
    return model


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(all_cases())


@pytest.fixture(scope="module")
def graphs(cases) -> list[tuple[Case, Graph]]:
    return [(case, graph_from_model(steered(case))) for case in cases if not too_old(case.model)]


def test_the_suite_is_there(cases):
    assert len(cases) > 1900


def test_models_older_than_opset_7_are_refused_by_one_line(cases):
    old = [case for case in cases if too_old(case.model)]
    assert 0 < len(old) < 150
    for case in old:
        with pytest.raises(InputError, match=r"opset \d is too old; allowed: 7 and newer"):
            graph_from_model(case.model)


def test_every_model_is_read_as_it_stands_and_its_work_is_known_or_declared_unknown(cases):
    read = known = 0
    for case in cases:
        if too_old(case.model):
            continue
        graph = graph_from_model(case.model)
        work = total_work(graph)
        read += 1
        known += not work.unknown
        assert set(work.unknown) <= {op.name for op in graph.ops}
        assert work.total.flops >= 0
    print(f"\nas they stand: {read} models read, work known for {known} ({known / read:.1%})")
    assert read > 1750
    assert known / read >= 0.95


def test_with_integer_inputs_as_constants_nearly_all_work_is_known(graphs):
    unknown = [case.name for case, graph in graphs if total_work(graph).unknown]
    share = 1 - len(unknown) / len(graphs)
    print(f"\nwith constants: {len(graphs)} models, work known for {share:.1%}")
    assert share >= 0.97, unknown


def test_unknown_work_has_a_reason(graphs):
    """An operator with a rule and static types is known; only control flow may not be."""
    for case, graph in graphs:
        unknown = set(total_work(graph).unknown)
        for op in graph.ops:
            if op.name in unknown and not op.subgraphs:
                types = [t for t in (*graph.input_types(op), *graph.output_types(op)) if t]
                open_types = any(not t.is_static for t in types)
                uncounted = isinstance(facet(op.qualified_type, "work"), Missing)
                assert uncounted or open_types, (case.name, op)


def test_inferred_types_are_those_of_the_stored_outputs(graphs):
    compared = 0
    for case, graph in graphs:
        for name, expected, expected_dtype in zip(
            graph.outputs, case.outputs, case.output_types, strict=False
        ):
            found = graph.type_of(name)
            if expected is None or not found.dtype:
                continue
            assert found.dtype == expected_dtype, (case.name, name)
            if found.is_static:
                assert found.shape == expected.shape, (case.name, name)
                compared += 1
    assert compared > 2000


def test_keys_survive_their_text_and_keep_the_work(graphs):
    count = 0
    for _, graph in graphs:
        for key in keys_of(graph).values():
            again = OpKey.parse(key.text)
            assert again == key
            assert again.digest == key.digest
            assert work_of_key(again) == work_of_key(key)
            count += 1
    assert count > 5000


def closed_keys(graph: Graph) -> dict[str, OpKey]:
    """Keys without open sizes, about which a second reading may know more than the first."""
    bodies = {op.name for op in graph.ops if op.subgraphs}
    return {
        name: key
        for name, key in keys_of(graph).items()
        if all(t is None or t.is_static for t in (*key.operand_types(), *key.outputs))
        and name not in bodies
    }


def test_writing_and_reading_gives_the_same_graph(graphs):
    for case, graph in graphs:
        again = graph_from_model(model_to_proto(graph))
        assert [op.name for op in again.ops] == [op.name for op in graph.ops], case.name
        for one, two in zip(graph.ops, again.ops, strict=True):
            assert (two.op_type, two.domain) == (one.op_type, one.domain)
            assert (two.inputs, two.outputs) == (one.inputs, one.outputs)
        assert closed_keys(again) == closed_keys(graph), case.name
