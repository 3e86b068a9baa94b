"""Every operator that ONNX Runtime's CPU provider can run has a row."""

from __future__ import annotations

import onnxruntime.capi.onnxruntime_pybind11_state as native
import pytest

from lydite.graph.operators import operator


def kernels() -> list[str]:
    found = {
        f"{kernel.domain}:{kernel.op_name}" if kernel.domain else kernel.op_name
        for kernel in native.get_all_opkernel_def()
        if kernel.provider == "CPUExecutionProvider"
    }
    return sorted(found)


def test_there_are_hundreds_of_kernels():
    assert len(kernels()) > 250


@pytest.mark.parametrize("name", kernels())
def test_a_kernel_has_a_row(name):
    assert operator(name) is not None
