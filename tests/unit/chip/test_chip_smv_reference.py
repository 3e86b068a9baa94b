"""SMAUG's own figures: its tiling tests, its runs' invocations, and its operators' numbers."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lydite.chip.smv import SMV, SMV_COMPAT, Activation, SmvOp, schedule_graph
from lydite.chip.smv.functional import execute
from lydite.chip.tiling import (
    Problem,
    batch_norm,
    convolution,
    flat,
    inner_product,
    pooling,
    rows,
    same_pads,
    tile,
)
from lydite.graph.formats import read_file

ROOT = Path(__file__).parents[3]
NO_PADS = (0, 0, 0, 0)


@pytest.fixture(scope="module")
def data() -> Path:
    base = Path(os.environ.get("LYDITE_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    folder = base / "smaug"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}: set LYDITE_REFERENCE_DATA")
    return folder


@pytest.fixture(scope="module")
def cases(data) -> list[dict]:
    return json.loads((data / "cases.json").read_text())["cases"]


# --- tiling -----------------------------------------------------------------------------------


def _tiled(case: dict) -> Problem:
    given = case["inputs"]
    shape = tuple(given["input"])
    if case["kind"] == "tiling.conv":
        kernel = given["kernel_rows"], given["kernel_cols"]
        pads = same_pads(kernel) if given["padding"] == "same" else NO_PADS
        return convolution(shape, given["num_ofmaps"], kernel, tuple(given["stride"]), pads)
    if case["kind"] == "tiling.inner_product":
        return inner_product(shape, given["num_outputs"])
    if case["kind"] == "tiling.max_pool":
        return pooling(shape, tuple(given["pool_size"]), tuple(given["stride"]))
    return batch_norm(shape) if case["kind"] == "tiling.batch_norm" else flat(SMV.stored(shape))


def _asserted(problem: Problem, constraints, name: str):
    """What SMAUG's test asserts under a name."""
    tiling = tile(problem, constraints)
    roles = {"input": tiling.input, "weight": tiling.weights, "output": tiling.output}
    operand = roles[name.removeprefix("num_").split("_")[0]]
    assert operand is not None
    grid = operand.grid
    found = {
        "tile": list(operand.tile),
        "tile_rows": grid.sizes[1].tolist(),
        "tile_cols": operand.tile[-2],
        "chan_tiles": grid.sizes[-1].tolist(),
        "ofmap_tiles": grid.sizes[0].tolist(),
        "tiles": grid.shapes.tolist(),
    }
    return grid.count if name.startswith("num_") else found[name.split("_", 1)[1]]


@pytest.mark.parametrize("constraints", [SMV, SMV_COMPAT], ids=["corrected", "compat"])
def test_tiling_cases_are_exact(cases, constraints):
    tiled = [case for case in cases if case["kind"].startswith("tiling.")]
    checked = 0
    for case in tiled:
        for name, value in case["expected"].items():
            if value is not None:
                got = _asserted(_tiled(case), constraints, name)
                # A number under a list's name counts the tiles.
                got = len(got) if isinstance(got, list) and isinstance(value, int) else got
                assert got == value, (case["source"]["test"], name)
                checked += 1
    assert len(tiled) == 43 and checked > 150


# --- invocations ------------------------------------------------------------------------------

NETWORKS = {
    "minerva": ("minerva", 25),
    "lenet5": ("lenet5", 55),
    "elu16": ("elu", 185),
    "vgg16": ("vgg", 647),
}


def _four(dims: str) -> list[int]:
    sizes = json.loads(dims) if dims else [0, 0, 0, 0]
    return sizes if len(sizes) == 4 else [sizes[0], 1, 1, sizes[1]]


@pytest.mark.parametrize("network", NETWORKS)
def test_invocations_are_those_of_the_published_runs(data, network):
    file, count = NETWORKS[network]
    with (data / "invocations.csv").open() as opened:
        wanted = [row for row in csv.DictReader(opened) if row["net"] == network]
    plan = schedule_graph(read_file(data / "topologies" / f"{file}_smv_topo.pbtxt"))
    found = plan.invocations
    assert len(found) == len(wanted) == count
    assert found.kernel_names == [row["kernel"] for row in wanted]
    for column, name in (
        ("input_dims", "input_tile"),
        ("weight_dims", "weight_tile"),
        ("output_dims", "output_tile"),
    ):
        assert getattr(found, column).tolist() == [_four(row[name]) for row in wanted]
    loads = np.stack([found.input_load_bytes, found.weight_load_bytes], axis=1) // 2
    assert [[each for each in row if each] for row in loads.tolist()] == [
        json.loads(row["load_elems"]) for row in wanted
    ]
    assert (found.store_bytes // 2).tolist() == [int(row["store_elems"]) for row in wanted]
    for index, row in enumerate(wanted):
        if row["rows"]:
            assert (found.out_rows[index], found.out_cols[index]) == (
                int(row["rows"]),
                int(row["cols"]),
            )
        for column, name in (("reads_input", "read_inputs"), ("reads_weights", "read_weights")):
            assert not row[name] or str(bool(getattr(found, column)[index])) == row[name]


def test_the_tenth_network_has_as_many_invocations_as_it_had(data):
    plan = schedule_graph(read_file(data / "topologies" / "cnn_smv_topo.pbtxt"))
    assert len(plan.invocations) == 1058 - sum(count for _, count in NETWORKS.values())
    assert [each.op.op_type for each in plan.host] == ["Flatten"]


# --- numbers ----------------------------------------------------------------------------------


def _fill(case: dict, name: str, shape: tuple[int, ...]) -> np.ndarray:
    values = [fill["values"] for fill in case["fills"] if fill["tensor"] == name]
    return np.array(values[-1]).reshape(shape)


def _is_nchw(case: dict) -> bool:
    return "NHWC" not in case["source"]["test"]


def _shape(case: dict) -> tuple[int, ...]:
    return tuple(int(size) for size in case["shapes"][-1].split(","))


def _fused(case: dict) -> Activation | None:
    test = case["source"]["test"]
    if "with fused" not in test:
        return None
    # The one test that fuses another is the batch norm of NHWC images.
    is_relu = "Batch norm" in test and "NHWC" in test
    return Activation("relu") if is_relu else Activation("lrelu", alpha=0.1)


def _run(kernel: str, problem: Problem, operands: list, activation=None) -> np.ndarray:
    op = SmvOp("case", f"smv_{kernel}_vec_fxp", problem, (), "out", activation)
    outcome = execute(op, operands)
    assert (outcome.writes == 1).all()
    return outcome.output


def _image(case: dict) -> np.ndarray:
    image = _fill(case, "input", _shape(case))
    return image.transpose(0, 2, 3, 1) if _is_nchw(case) else image


def _as_given(case: dict, image: np.ndarray) -> np.ndarray:
    return image.transpose(0, 3, 1, 2) if _is_nchw(case) else image


def _convolution(case: dict) -> np.ndarray:
    image = _image(case)
    pads = same_pads((3, 3)) if "Same" in case["source"]["test"] else NO_PADS
    weights = _fill(case, "weightsTensor", (-1,))
    if "depthwise" in case["source"]["file"]:
        # Each channel is a convolution of its own.
        parts = [
            _one_convolution(case, image[..., i : i + 1], weights.reshape(2, 3, 3)[i], pads)
            for i in range(2)
        ]
        return np.concatenate(parts, axis=1)
    return _one_convolution(case, image, weights, pads)


def _one_convolution(case: dict, image: np.ndarray, weights: np.ndarray, pads) -> np.ndarray:
    problem = convolution(image.shape, 1, (3, 3), (1, 1), pads)
    operands = [image, weights.reshape(problem.weights)]
    return _as_given(case, _run("conv3d_nhwc", problem, operands, _fused(case)))


def _pool(case: dict) -> np.ndarray:
    size = 2 if "2x2" in case["source"]["test"] else 3
    kind = "max" if "max pooling" in case["source"]["test"] else "avg"
    problem = pooling(_image(case).shape, (size, size), (2, 2))
    return _as_given(case, _run(f"{kind}pooling_nhwc", problem, [_image(case)]))


def _norm(case: dict) -> np.ndarray:
    names = ("meanTensor", "varianceTensor", "gammaTensor", "betaTensor")
    weights = np.stack([_fill(case, name, (-1,)) for name in names])
    shape = _shape(case)
    x = _image(case) if len(shape) == 4 else _fill(case, "input", shape)
    kernel = "batch_norm_post_conv_nhwc" if len(shape) == 4 else "batch_norm_post_fc_nc"
    found = _run(kernel, batch_norm(x.shape), [x, weights], _fused(case))
    return _as_given(case, found) if len(shape) == 4 else found


def _product(case: dict) -> np.ndarray:
    # "Transposed" fills the same weights, and lets a Reorder turn them.
    weights = _fill(case, "weightsTensor", (10, 10)).T
    operands = [_fill(case, "input", (1, 10)), weights]
    kernel = "matrix_multiply_transpose_nc"
    return _run(kernel, inner_product((1, 10), 10), operands, _fused(case))


ELTWISE = {
    "Element-wise add operator": "eltwise_add",
    "Element-wise mul operator": "eltwise_mul",
    "Less operator": "less",
    "LessEqual operator": "less_equal",
    "Greater operator": "greater",
    "GreaterEqual operator": "greater_equal",
}
UNARY = {
    "RELU/Slope 0": Activation("relu"),
    "RELU/Slope 0.1": Activation("lrelu", 0.1),
    "ELU": Activation("elu", 0.1),
    "SELU": Activation("selu", 1.6733, 1.0507),
    "Sigmoid": Activation("sigmoid"),
    "Tanh": Activation("tanh"),
    "Hard Tanh": Activation("hard_tanh", low=-0.5, high=0.5),
}


def _line(case: dict) -> np.ndarray:
    test, shape = case["source"]["test"].split("/", 1)[1], _shape(case)
    problem = flat(SMV.stored(shape))
    first = _fill(case, "input0", shape)
    if test in ELTWISE:
        operands = [first, _fill(case, "input1", shape)]
        return _run(f"{ELTWISE[test]}_nc", problem, operands)[:, : shape[1]]
    return _run("activation_fun_nc", problem, [first], UNARY[test])[:, : shape[1]]


def _softmax(case: dict) -> np.ndarray:
    return _run("softmax_nc", rows(_shape(case)), [_fill(case, "input", _shape(case))])


BY_FILE: dict[str, Callable[[dict], np.ndarray]] = {
    "ref_convolution_op_test.cpp": _convolution,
    "ref_depthwise_convolution_op_test.cpp": _convolution,
    "ref_pooling_op_test.cpp": _pool,
    "ref_batch_norm_op_test.cpp": _norm,
    "ref_inner_product_op_test.cpp": _product,
    "ref_eltwise_ops_test.cpp": _line,
    "ref_softmax_op_test.cpp": _softmax,
}


def test_operators_give_smaugs_numbers(cases):
    complete = [case for case in cases if case["kind"] == "numeric" and case["fills"]]
    assert len(complete) == 42
    for case in complete:
        found = BY_FILE[Path(case["source"]["file"]).name](case).reshape(-1)
        wanted = np.array(case["expected"][0]["values"])
        np.testing.assert_allclose(
            found.astype(float), wanted, rtol=2**-10, atol=2**-13, err_msg=case["source"]["test"]
        )
