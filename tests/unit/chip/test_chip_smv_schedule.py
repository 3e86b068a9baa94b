"""SMV's invocations: order, reuse, accelerators, and what is left to the CPU."""

import numpy as np
import pytest

from lydite.chip.smv import KERNELS, SmvOp, lower, schedule, schedule_graph, smv_constraints
from lydite.chip.smv.invocations import empty
from lydite.chip.tiling import batch_norm, convolution, inner_product, pooling
from lydite.errors import InputError
from lydite.graph.builder import Builder
from lydite.graph.graph import Graph


def conv(image=(1, 16, 16, 128), channels=96) -> SmvOp:
    """4 channel tiles of 32 of the input and the weights, 2 of the output (56 and 40)."""
    problem = convolution(image, channels, (3, 3), pads=(1, 1, 1, 1))
    return SmvOp("conv", KERNELS[0], problem, ("x", "w"), "y")


def test_channel_tiles_are_gathered_before_a_result_is_sent():
    plan = schedule(conv())
    last = plan.sends
    # A result begins from zero behind every one that is sent, and adds otherwise.
    assert (~plan.accumulates == np.concatenate([[True], last[:-1]])).all()
    assert last.sum() == len(np.unique(plan.output_tile)) == 2
    assert (plan.store_bytes[~last] == 0).all() and plan.store_bytes[last].all()
    assert plan.store_bytes.sum() == 16 * 16 * 96 * 2


def test_tiles_that_lie_there_are_not_loaded_again():
    # The input fits as a whole: each accelerator loads it once.
    op = conv((1, 8, 8, 256), 256)
    for accelerators in (1, 2, 4):
        plan = schedule(op, accelerators=accelerators)
        loads = plan.input_load_bytes
        assert loads.sum() == accelerators * 8 * 8 * 256 * 2
        assert ((loads > 0) == plan.reads_input).all()
        assert plan.weight_load_bytes.sum() == 256 * 9 * 256 * 2


def test_accelerators_take_turns_by_group_and_channels_stay_on_one():
    plan = schedule(conv(channels=300), accelerators=3)
    assert (plan.accelerator == plan.group % 3).all()
    for group in np.unique(plan.group):
        rows = plan.group == group
        assert len(np.unique(plan.output_tile[rows])) == 1 and plan.sends[rows].sum() == 1
    assert (np.diff(plan.group) >= 0).all() and not plan.waits.any()


def test_pooling_waits_for_each_invocation():
    problem = pooling((1, 32, 32, 64), (2, 2), (2, 2))
    plan = schedule(SmvOp("pool", KERNELS[2], problem, ("x",), "y"), accelerators=4)
    assert plan.waits.all() and (plan.accelerator == 0).all()
    assert plan.output_start.tolist() == [0, 16, 32, 48]
    assert plan.sends.tolist() == [False, False, False, True]


def test_every_accelerator_gets_the_weights_of_a_batch_norm():
    problem = batch_norm((1, 64, 64, 32))
    op = SmvOp("bn", KERNELS[4], problem, ("x", "s", "b", "m", "v"), "y")
    plan = schedule(op, accelerators=2)
    assert set(plan.accelerator[plan.reads_weights]) == {0, 1}


def test_trips_of_the_kernels_loops():
    plan = schedule(conv())
    assert plan.ofmap_blocks.tolist() == [7] * 4 + [5] * 4
    assert (plan.channel_blocks == 1).all() and (plan.k_rows == 3).all()
    assert (plan.out_rows == 16).all() and (plan.out_cols == 16).all()
    fc = SmvOp("fc", KERNELS[1], inner_product((1, 784), 256), ("x", "w"), "y")
    plan = schedule(fc)
    # 16 outputs are two blocks of 8, 784 inputs 25 of 32.
    assert (plan.ofmap_blocks == 2).all() and (plan.channel_blocks == 25).all()


def test_signatures_group_equal_rows():
    plan = schedule(conv(channels=560))
    first, inverse = plan.signatures()
    assert len(first) < len(plan) == len(inverse)
    for column in ("input_dims", "weight_dims", "store_bytes", "accumulates", "channel_blocks"):
        values = getattr(plan, column)
        assert (values[first][inverse] == values).all()


def test_half_the_scratchpad_needs_more_invocations():
    counts = [len(schedule(conv(), smv_constraints(size))) for size in (65536, 32768, 16384)]
    assert counts[0] < counts[1] < counts[2]


# --- graphs -----------------------------------------------------------------------------------


def mixed() -> Graph:
    g = Builder("mixed")
    x = g.input("x", (1, 16, 12, 12))
    x = g.relu(g.conv(x, 16, 3, pad=1, name="plain", bias=False))
    x = g.relu(g.conv(x, 16, 3, pad=1, name="biased"))
    x = g.conv(x, 16, 3, pad=1, group=16, bias=False, name="depthwise")
    y = g.pool("Max", x, 3, stride=1, pad=1)
    x = g.op("Add", x, y)
    x = g.op("Mul", x, g.weight((1, 16, 1, 1), "factor"))
    return g.build(g.linear(g.flatten(g.global_average_pool(x)), 10, bias=False))


def test_nothing_is_dropped():
    graph = mixed()
    plan = schedule_graph(graph)
    left = {each.op.name: each.reason for each in plan.host}
    assert {each.op.op_type for each in plan.host} == {"Add", "Conv", "MaxPool", "Mul", "Flatten"}
    assert "grouped" in left["depthwise"] and "bias" in left["biased.bias"]
    assert any("padding" in reason for reason in left.values())
    assert any("broadcasts nothing" in reason for reason in left.values())
    # Every tensor that the graph makes is made by a step, but that between an operator and the
    # activation it runs.
    made = {name for each in plan.host for name in each.op.outputs}
    made |= {op.output for op in plan.program.ops}
    assert {name for op in graph.ops for name in op.outputs} - made == {"plain.out"}
    assert plan.invocations.layers == tuple(op.name for op in plan.program.ops)
    assert len(np.unique(plan.invocations.layer)) == len(plan.program.ops)


def test_an_activation_runs_with_the_operator_it_alone_reads():
    graph = mixed()
    fused = {op.name: op for op in lower(graph).ops}
    assert fused["plain"].activation is not None and fused["biased"].activation is None
    alone = lower(graph, fuse=False)
    assert len(alone.ops) == len(fused) + 1
    plan = schedule_graph(graph).invocations
    assert plan.activates.sum() == plan.sends[plan.layer == 0].sum() + 1


def test_a_result_that_others_read_keeps_its_activation_apart():
    g = Builder("shared")
    x = g.conv(g.input("x", (1, 8, 8, 8)), 8, 3, bias=False)
    graph = g.build(g.op("Add", g.relu(x), x))
    kernels = [op.kernel for op in lower(graph).ops]
    assert kernels == [KERNELS[0], KERNELS[12], KERNELS[6]]


def test_a_graph_without_work_for_smv():
    g = Builder("none")
    plan = schedule_graph(g.build(g.transpose(g.input("x", (2, 3)), [1, 0])))
    assert len(plan.invocations) == len(empty()) == 0 and len(plan.host) == 1


# --- bad input --------------------------------------------------------------------------------


def test_a_scratchpad_too_small_names_the_operator_of_the_graph():
    with pytest.raises(InputError, match=r"mixed: plain: smv: convolution .* needs \d+ bytes"):
        schedule_graph(mixed(), smv_constraints(128))


@pytest.mark.parametrize("accelerators", [0, 9])
def test_numbers_of_accelerators(accelerators):
    with pytest.raises(InputError, match="1 to 8"):
        schedule(conv(), accelerators=accelerators)
