"""The tiler: shapes worked out by hand, and what must hold of every tiling."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lydite.chip.smv import SMV, SMV_COMPAT, smv_constraints
from lydite.chip.tiling import (
    Kind,
    Problem,
    Strategy,
    Tiling,
    batch_norm,
    convolution,
    flat,
    inner_product,
    pooling,
    rows,
    same_pads,
    strategy_named,
    tile,
)
from lydite.errors import InputError

# --- by hand ----------------------------------------------------------------------------------


def test_output_channels_are_halved_where_the_weights_fit():
    # 28 * 28 * 24 is beyond 16384 elements, 28 * 28 * 16 is not.
    tiling = tile(convolution((1, 28, 28, 1), 32, (3, 3), pads=same_pads((3, 3))), SMV)
    assert tiling.weights is not None and tiling.weights.grid.count == 1
    assert tiling.output.strategy is Strategy.NC
    assert tiling.output.grid.sizes[3].tolist() == [16, 16]


def test_weights_are_cut_by_outputs():
    # 16 rows of 784 fit, 24 do not; the output of 256 stays whole.
    tiling = tile(inner_product((1, 784), 256), SMV)
    assert tiling.weights is not None
    assert tiling.weights.grid.sizes[0].tolist() == [16] * 16
    assert tiling.input.grid.count == tiling.output.grid.count == 1


def test_pooling_gathers_channels_in_one_output():
    tiling = tile(pooling((1, 32, 32, 64), (2, 2), (2, 2)), SMV)
    assert tiling.input.strategy is Strategy.NC
    assert tiling.input.grid.sizes[3].tolist() == [16] * 4
    assert tiling.output.grid.shapes.tolist() == [[1, 16, 16, 64]]


def test_rows_overlap_by_the_halo_and_the_first_tile_is_shorter():
    # Of 64 x 16 a tile holds 16 rows; with one row of zeros above it, all 16 are whole strides.
    tiling = tile(convolution((1, 32, 64, 16), 8, (3, 3), pads=(1, 1, 1, 1)), SMV)
    grid = tiling.input.grid
    assert grid.sizes[1].tolist() == [16, 16, 4] and grid.origins[1].tolist() == [0, 14, 28]
    assert tiling.output.grid.sizes[1].tolist() == [15, 14, 3]
    assert tiling.pads is not None
    assert [pad.tolist() for pad in tiling.pads] == [[1, 0, 0], [0, 0, 1], [1], [1]]


def test_the_search_counts_the_zeros_of_one_side():
    # 16 rows of 16 x 64 outputs are all that fits; 17 rows of input and one of zeros make them.
    tiling = tile(convolution((1, 256, 16, 8), 64, (3, 3), pads=(1, 1, 1, 1)), SMV)
    assert tiling.input.tile == (1, 17, 16, 8) and tiling.output.tile == (1, 16, 16, 64)
    assert tiling.output.grid.sizes[1].tolist()[:2] == [16, 15]


def test_rows_between_strides_are_skipped():
    tiling = tile(convolution((1, 56, 56, 256), 64, (1, 1), (2, 2)), SMV)
    assert tiling.input.grid.sizes[1].tolist() == [1] * 28
    assert tiling.input.grid.origins[1].tolist() == [*range(0, 56, 2)]


def test_a_line_is_cut_at_the_scratchpad():
    tiling = tile(flat(20000), SMV)
    assert tiling.input.grid.shapes.tolist() == [[1, 16384], [1, 3616]]


def test_softmax_keeps_rows_whole():
    tiling = tile(rows((10, 3999)), SMV)
    assert tiling.input.grid.shapes.tolist() == [[4, 3999], [4, 3999], [2, 3999]]


def test_images_of_a_batch_are_cut_one_by_one():
    one = tile(convolution((1, 8, 8, 8), 8, (3, 3)), SMV)
    three = tile(convolution((3, 8, 8, 8), 8, (3, 3)), SMV)
    assert three.input.tile == one.input.tile and three.input.grid.counts == (3, 1, 1, 1)
    assert (one.input.strategy, three.input.strategy) == (Strategy.NONE, Strategy.N)


def test_smaugs_mistake_is_kept_on_demand():
    # Tiles of 3 rows for a kernel of 3, stride 2: the first has one row of zeros above it, so that
    # the second must begin at row 1. SMAUG begins at row 2.
    problem = convolution((1, 9, 56, 32), 16, (3, 3), (2, 2), (1, 1, 1, 1))
    small = smv_constraints(3 * 56 * 32 * 2)
    compat = type(small)(
        **{
            name: getattr(small, name)
            for name in small.__dataclass_fields__
            if name != "exact_halos"
        },
        exact_halos=False,
    )
    assert tile(problem, small).input.grid.origins[1].tolist() == [0, 1, 3, 5, 7]
    assert tile(problem, compat).input.grid.origins[1].tolist() == [0, 2, 4, 6]
    assert not SMV_COMPAT.exact_halos


def test_where_smaug_finds_no_shape_other_strategies_do():
    # The weights fit, so that SMAUG wants all 512 outputs at once: one row of them is too much.
    tiling = tile(convolution((1, 64, 64, 8), 512, (1, 1)), SMV)
    assert tiling.weights is not None and tiling.weights.strategy is Strategy.N
    assert tiling.output.strategy is Strategy.NCH


# --- what must hold ---------------------------------------------------------------------------

sizes = st.integers(1, 48)
channels = st.integers(1, 140)
windows = st.tuples(st.integers(1, 6), st.integers(1, 6))
strides = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def convolutions(draw) -> Problem:
    kernel = draw(windows)
    free = (*[st.integers(0, kernel[0] - 1)] * 2, *[st.integers(0, kernel[1] - 1)] * 2)
    pads = draw(st.one_of(st.just(same_pads(kernel)), st.tuples(*free)))
    image = (draw(st.integers(1, 3)), draw(sizes), draw(sizes), draw(channels))
    assume(image[1] + pads[0] + pads[1] >= kernel[0])
    assume(image[2] + pads[2] + pads[3] >= kernel[1])
    return convolution(image, draw(channels), kernel, draw(strides), pads)


@st.composite
def poolings(draw) -> Problem:
    kernel = draw(windows)
    image = (draw(st.integers(1, 3)), draw(sizes), draw(sizes), draw(channels))
    assume(image[1] >= kernel[0] and image[2] >= kernel[1])
    return pooling(image, kernel, draw(strides))


products = st.builds(
    inner_product, st.tuples(st.integers(1, 200), st.integers(1, 3000)), st.integers(1, 2000)
)
norms = st.builds(
    batch_norm,
    st.one_of(
        st.tuples(st.integers(1, 4), sizes, sizes, st.integers(1, 256)),
        st.tuples(st.integers(1, 40), st.integers(1, 9000)),
    ),
)
problems = st.one_of(convolutions(), poolings(), products, norms)
scratchpads = st.sampled_from([2048, 4096, 8192, 32768])


def covers(sizes: np.ndarray, origins: np.ndarray, size: int) -> bool:
    """Whether tiles lie one behind the other, from end to end."""
    ends = np.cumsum(sizes)
    return ends[-1] == size and (origins == ends - sizes).all() and (sizes > 0).all()


def halos_suffice(problem: Problem, tiling: Tiling) -> bool:
    """Whether each input tile holds what its output tile's windows see, from the right element."""
    inputs, outputs = tiling.input.grid, tiling.output.grid
    for at in (0, 1):
        stride, kernel, pad = problem.stride[at], problem.kernel[at], problem.pads[2 * at]
        first = outputs.origins[1 + at] * stride - pad
        last = first + (outputs.sizes[1 + at] - 1) * stride + kernel
        before, after = tiling.pads[2 * at : 2 * at + 2] if tiling.pads else (0, 0)
        count = len(first)
        begin, size = inputs.origins[1 + at][:count], inputs.sizes[1 + at][:count]
        before, after = np.broadcast_to(before, len(inputs.sizes[1 + at]))[:count], after
        after = np.broadcast_to(after, len(inputs.sizes[1 + at]))[:count]
        if (begin - before != first).any() or (begin + size + after < last).any():
            return False
    return True


@settings(max_examples=300)
@given(problems, scratchpads)
def test_tiles_cover_the_output_once_with_halos_and_fit(problem, scratchpad):
    constraints = smv_constraints(scratchpad)
    try:
        tiling = tile(problem, constraints)
    except InputError:
        assume(False)
        raise
    axes = zip(tiling.output.grid.sizes, tiling.output.grid.origins, problem.output, strict=True)
    assert all(covers(*axis) for axis in axes)
    for operand in (tiling.input, tiling.weights, tiling.output):
        if operand is not None:
            stored = [constraints.stored(shape) for shape in operand.grid.shapes]
            assert max(stored) * 2 <= scratchpad
    if problem.kind in (Kind.CONVOLUTION, Kind.POOLING):
        assert halos_suffice(problem, tiling)
    if tiling.weights is not None:
        grid = tiling.weights.grid
        assert sum(map(math.prod, grid.shapes)) == math.prod(problem.weights)


# --- bad input --------------------------------------------------------------------------------


def test_a_scratchpad_too_small_names_operator_need_and_capacity():
    problem = convolution((1, 32, 512, 64), 64, (3, 3), pads=(1, 1, 1, 1))
    with pytest.raises(InputError) as caught:
        tile(problem, SMV)
    # Three rows of 512 x 32 channels in fp16.
    assert "98304 bytes of a scratchpad of 32768" in str(caught.value)
    assert "convolution [1, 32, 512, 64]" in str(caught.value)
    with pytest.raises(InputError, match="a row of 20000 elements needs 40000 bytes"):
        tile(rows((1, 20000)), SMV)


def test_kernels_beyond_the_weights_scratchpad_are_refused():
    # SMAUG takes 8 outputs of 32 channels at least: 8 * 9 * 9 * 32 elements.
    with pytest.raises(InputError, match=r"weights, \[8, 24, 24, 32\], needs 294912 bytes"):
        tile(convolution((1, 30, 30, 64), 64, (24, 24), pads=same_pads((24, 24))), SMV)
    # By what it tries first one output of 32 channels would do, but 8 are the least.
    with pytest.raises(InputError, match=r"weights, \[8, 9, 9, 32\], needs 41472 bytes"):
        tile(convolution((1, 16, 16, 64), 64, (9, 9), pads=same_pads((9, 9))), SMV)


def test_names_of_strategies():
    assert strategy_named("dimnch") is Strategy.NCH and Strategy.NCH.axes == "NCH"
    with pytest.raises(
        InputError, match=r"unknown tiling strategy 'DimNCHH'.*did you mean 'dimnch'"
    ):
        strategy_named("DimNCHH")


@pytest.mark.parametrize(
    "make",
    [
        lambda: convolution((1, 4, 4, 8), 8, (5, 5)),
        lambda: convolution((1, 4, 4), 8, (3, 3)),
        lambda: inner_product((0, 4), 8),
        lambda: smv_constraints(8),
        lambda: smv_constraints(pes=6),
    ],
)
def test_impossible_shapes_and_sizes_are_refused(make):
    with pytest.raises(InputError):
        make()
