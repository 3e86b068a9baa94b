"""Language models by their dimensions: phases, cache, counts, and numbers on ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from lydite.errors import InputError
from lydite.graph import Graph, Initializer, model_to_proto, total_work
from lydite.models.counts import multiply_adds
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder

GPT = Decoder(
    layers=2,
    hidden=32,
    heads=4,
    feed_forward=128,
    vocabulary=99,
    positions=64,
    activation="gelu_tanh",
    packed=True,
)
OPT = replace(GPT, activation="relu", packed=False, position_offset=2)
LLAMA = Decoder(
    layers=2,
    hidden=32,
    heads=4,
    kv_heads=2,
    feed_forward=80,
    vocabulary=99,
    positions=64,
    rope_theta=1e4,
    norm="rms",
    activation="silu",
    gated=True,
    qkv_bias=False,
    output_bias=False,
    dense_bias=False,
    tied=False,
)
MIXTRAL = replace(LLAMA, experts=4, experts_per_token=2)
WIDE = replace(LLAMA, head_size=16)
SIZES = {"gpt": GPT, "opt": OPT, "llama": LLAMA, "mixtral": MIXTRAL, "wide": WIDE}


def weighted(graph: Graph, weights: dict[str, np.ndarray]) -> Graph:
    """The graph with weights by name, drawn where a name is new, so that phases share them."""
    rng = np.random.default_rng(len(weights))
    for name in graph.parameters:
        shape = graph.type_of(name).shape
        weights.setdefault(name, rng.normal(0, 0.2, shape).astype(np.float32))
    given = {
        name: Initializer(init.type, value=weights.get(name, init.value))
        for name, init in graph.initializers.items()
    }
    return replace(graph, initializers=given)


def run(graph: Graph, *inputs: np.ndarray) -> list[np.ndarray]:
    model = model_to_proto(graph)
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    outputs = session.run(None, dict(zip(graph.inputs, inputs, strict=True)))
    assert [o.shape for o in outputs] == [graph.type_of(name).shape for name in graph.outputs]
    return outputs


@pytest.mark.parametrize("name", SIZES)
def test_a_cache_gives_the_logits_of_the_whole_sequence(name):
    size, weights = SIZES[name], {}
    ids = np.random.default_rng(3).integers(0, 99, (2, 11))
    whole = weighted(decoder(size, batch=2, sequence=11, phase="forward"), weights)
    expected = run(whole, ids)[0]
    assert expected.std() > 0.05
    spans = [("prefill", 0, 5), ("prefill", 5, 3), ("decode", 8, 1), ("decode", 9, 2)]
    cache: list[np.ndarray] = []
    for phase, start, count in spans:
        graph = decoder(size, batch=2, sequence=count, context=start, phase=phase)
        step = ids[:, start : start + count]
        logits, *cache = run(weighted(graph, weights), step, *cache)
        np.testing.assert_allclose(logits, expected[:, start + count - 1], atol=2e-5)


def test_the_cache_is_named_and_as_long_as_what_was_read():
    graph = decoder(LLAMA, batch=3, context=7, phase="decode")
    assert graph.inputs == (
        "input_ids",
        "past_key_0",
        "past_value_0",
        "past_key_1",
        "past_value_1",
    )
    assert graph.outputs == (
        "logits",
        "present_key_0",
        "present_value_0",
        "present_key_1",
        "present_value_1",
    )
    assert str(graph.type_of("past_key_1")) == "float32[3,2,7,8]"
    assert str(graph.type_of("present_value_1")) == "float32[3,2,8,8]"
    assert str(graph.type_of("logits")) == "float32[3,99]"


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("phase", ["forward", "prefill", "decode"])
def test_every_phase_passes_the_checker_in_every_precision(name, dtype, phase):
    graph = decoder(SIZES[name], batch=2, sequence=4, phase=phase, dtype=dtype)
    onnx.checker.check_model(model_to_proto(graph), full_check=True)
    assert total_work(graph).unknown == ()
    assert {graph.type_of(name).dtype for name in graph.outputs} == {dtype}


@pytest.mark.parametrize(
    ("phase", "context", "tokens", "cached"),
    [("forward", 0, 64, 0), ("prefill", 0, 64, 0), ("decode", 0, 1, 63), ("prefill", 9, 55, 9)],
)
def test_zero_takes_the_usual_of_the_phase(phase, context, tokens, cached):
    graph = decoder(GPT, batch=1, context=context, phase=phase)
    assert graph.type_of("input_ids").shape == (1, tokens)
    past = [graph.type_of(name).shape for name in graph.inputs[1:]]
    assert past == [(1, 4, cached, 8)] * (4 if cached else 0)


def closed_form(size: Decoder, batch: int, tokens: int, context: int, scored: int) -> int:
    """Multiply-adds: projections, dense part of the chosen experts, attention, logits."""
    width, shared = size.heads * size.size, size.key_heads * size.size
    projections = size.hidden * (2 * width + 2 * shared)
    dense = (3 if size.gated else 2) * size.hidden * size.feed_forward
    if size.experts:
        dense = dense * size.experts_per_token + size.hidden * size.experts
    attention = 2 * (context + tokens) * width
    layer = tokens * (projections + dense + attention)
    return batch * (size.layers * layer + scored * size.hidden * size.vocabulary)


@pytest.mark.parametrize("name", SIZES)
def test_multiply_adds_are_those_of_the_closed_form(name):
    size = SIZES[name]
    for phase, tokens, context, scored in [
        ("forward", 9, 0, 9),
        ("prefill", 9, 0, 1),
        ("prefill", 9, 20, 1),
        ("decode", 1, 30, 1),
    ]:
        graph = decoder(size, batch=3, sequence=tokens, context=context, phase=phase)
        assert multiply_adds(graph) == closed_form(size, 3, tokens, context, scored)


def test_a_cached_token_adds_up_to_the_forward_pass():
    """What prefill and steps of decoding multiply is the forward pass, but for hidden scores."""
    steps = [decoder(LLAMA, batch=1, sequence=8, phase="prefill")]
    steps += [decoder(LLAMA, batch=1, context=8 + i, phase="decode") for i in range(4)]
    whole = decoder(LLAMA, batch=1, sequence=12, phase="forward")
    pairs = 12 * 12 - (8 * 8 + sum(range(9, 13)))
    unscored = 7 * LLAMA.hidden * LLAMA.vocabulary
    saved = LLAMA.layers * 2 * LLAMA.hidden * pairs + unscored
    assert sum(map(multiply_adds, steps)) == multiply_adds(whole) - saved


def test_a_tied_embedding_is_one_weight_and_an_untied_one_two():
    tied, untied = (decoder(replace(GPT, tied=tied), batch=1, sequence=2) for tied in (True, False))
    assert untied.parameter_count - tied.parameter_count == 99 * 32
    biases = replace(LLAMA, qkv_bias=True, output_bias=True, dense_bias=True)
    more = decoder(biases, batch=1, sequence=2).parameter_count
    assert more - decoder(LLAMA, batch=1, sequence=2).parameter_count == 2 * (
        32 + 16 + 16 + 32 + 2 * 80 + 32
    )


def test_positions_turn_and_no_table_of_them_is_a_parameter():
    graph = decoder(LLAMA, batch=1, sequence=60)
    layer = 32 * 32 * 2 + 2 * 32 * 16 + 3 * 32 * 80 + 2 * 32
    assert graph.parameter_count == 2 * layer + 2 * 99 * 32 + 32


REFUSED = [
    ({"sequence": 65}, "65 new tokens and 0 before them are more than the model's positions"),
    ({"sequence": 1, "context": 64, "phase": "decode"}, "1 new tokens and 64 before them"),
    ({"sequence": 4, "context": 4, "phase": "forward"}, "the phase 'forward' has no cache"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_more_tokens_than_positions_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        decoder(GPT, batch=1, **options)


def test_a_window_is_attended_to_and_kept_and_no_more():
    """A window as long as the sequence changes nothing; a shorter one is a banded mask."""
    weights, ids = {}, np.random.default_rng(3).integers(0, 99, (2, 11))
    full, wide, narrow = (
        run(weighted(decoder(size, batch=2, sequence=11, phase="forward"), weights), ids)[0]
        for size in (LLAMA, replace(LLAMA, windowed=11), replace(LLAMA, windowed=4))
    )
    np.testing.assert_allclose(wide, full, atol=1e-6)
    np.testing.assert_allclose(narrow[:, :4], full[:, :4], atol=2e-5)
    assert np.abs(narrow[:, 4:] - full[:, 4:]).max() > 1e-3
    graph = decoder(replace(LLAMA, windowed=4), batch=2, context=9, phase="decode")
    assert graph.type_of("past_key_0").shape == (2, 2, 3, 8)
    one = replace(LLAMA, windowed=4, layers=1)
    whole = decoder(one, batch=2, sequence=11, phase="forward")
    cut = decoder(replace(one, windowed=None), batch=2, sequence=11, phase="forward")
    assert multiply_adds(cut) - multiply_adds(whole) == 2 * 4 * 11 * 7 * 2 * 8


def test_a_rolling_cache_gives_the_logits_of_the_whole_sequence():
    size, weights = replace(LLAMA, windowed=4), {}
    ids = np.random.default_rng(3).integers(0, 99, (2, 9))
    whole = weighted(decoder(size, batch=2, sequence=9, phase="forward"), weights)
    expected = run(whole, ids)[0]
    prefill = decoder(size, batch=2, sequence=8, phase="prefill")
    logits, *cache = run(weighted(prefill, weights), ids[:, :8])
    np.testing.assert_allclose(logits, expected[:, 7], atol=2e-5)
    step = decoder(size, batch=2, sequence=1, context=8, phase="decode")
    kept = [part[:, :, -3:] for part in cache]
    logits, *_ = run(weighted(step, weights), ids[:, 8:], *kept)
    np.testing.assert_allclose(logits, expected[:, 8], atol=2e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": 30}, "hidden 30 is not divisible by heads 4"),
        ({"kv_heads": 3}, "heads 4 is not divisible by kv_heads 3"),
        ({"head_size": 7}, "head_size 7 is odd"),
        ({"experts": 2, "experts_per_token": 3}, "experts_per_token 3 is more than experts 2"),
    ],
)
def test_dimensions_that_do_not_fit(change, message):
    with pytest.raises(InputError, match=message):
        replace(LLAMA, **change)
