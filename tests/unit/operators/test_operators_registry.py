"""The registry: every operator has every facet, or a reason with a test that shows the refusal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime.capi.onnxruntime_pybind11_state as native
import pytest

pytest.importorskip("torch")
import lydite.backends.torch  # noqa: F401  registers how PyTorch runs operators
from lydite.graph.operators import (
    BY_DECOMPOSITION,
    FACETS,
    Missing,
    decomposes,
    facet,
    operator,
    operators,
    register,
)
from lydite.graph.operators.missing import usual
from lydite.graph.operators.operator import Family

TESTS = Path(__file__).parents[2]


def standard() -> set[str]:
    schemas = onnx.defs.get_all_schemas()
    return {f"{s.domain}:{s.name}" if s.domain else s.name for s in schemas}


def contributed() -> set[str]:
    schemas = native.get_all_operator_schema()
    return {f"{s.domain}:{s.name}" for s in schemas if s.domain == "com.microsoft"}


def kernels() -> set[str]:
    return {
        f"{kernel.domain}:{kernel.op_name}" if kernel.domain else kernel.op_name
        for kernel in native.get_all_opkernel_def()
        if kernel.provider == "CPUExecutionProvider"
    }


def test_every_operator_of_the_standard_and_of_onnx_runtime_has_a_row():
    wanted = standard() | (contributed() & kernels()) | kernels()
    assert sorted(name for name in wanted if operator(name) is None) == []
    assert len(wanted) > 300


@pytest.mark.parametrize("name", FACETS)
def test_every_cell_is_there_or_gives_a_reason_and_a_test(name):
    for row in operators().values():
        found = facet(row.name, name)
        assert found is not None, row.name
        if isinstance(found, Missing):
            path, _, test = found.test.partition("::")
            assert len(found.reason.split()) >= 3, row.name
            assert f"def {test}(" in (TESTS / path).read_text(), row.name


def test_fewer_than_15_percent_of_all_cells_are_reasons():
    cells = [(row, name) for row in operators().values() for name in FACETS]
    missing = [cell for cell in cells if isinstance(facet(cell[0].name, cell[1]), Missing)]
    assert len(missing) < 0.15 * len(cells)


def test_what_follows_by_decomposition_decomposes():
    for row in operators().values():
        for name in ("gradient", "split", "torch"):
            if facet(row.name, name) == BY_DECOMPOSITION:
                assert decomposes(row.name), row.name


def test_training_forms_and_their_gradients_have_rows():
    saving = [row for row in operators().values() if row.saving is not None]
    assert len(saving) >= 9
    for row in saving:
        form = row.saving
        name = f"{form.domain}:{form.op_type}" if form.domain else form.op_type
        assert not isinstance(facet(name, "gradient"), Missing), row.name


def test_no_operator_stands_in_two_families():
    from lydite.graph.operators import TABLES

    counts = Counter(row.name for table in TABLES for row in table.OPERATORS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_a_row_can_be_added_at_run_time():
    row = Family("mine", usual()).row("example.org:Nothing", lambda _: None)
    try:
        register(row)
        assert operator("example.org:Nothing") is row
    finally:
        from lydite.graph.operators import _REGISTERED

        _REGISTERED.clear()
        operators.cache_clear()
    assert operator("example.org:Nothing") is None


def test_the_page_of_operators_is_current():
    from lydite.report.operators import written

    page = (TESTS.parent / "docs" / "reference" / "operators.md").read_text()
    assert written(page) == page, "type: make operators"
