"""A KV cache of eight-bit floats: half the memory, and attention in the runtime's own kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lydite.errors import InputError, unknown_name
from lydite.units import format_percent

if TYPE_CHECKING:
    from lydite.api.serving.deployment import Deployer
    from lydite.graph import Graph
    from lydite.serving.times import StepTimes

KV_DTYPES = ("auto", "fp8")
_LAYER_S = (10e-6, 350e-6)
"""Times of a layer's attention between which the ratios below were read."""
RATIOS = {"vllm": (1.11, 0.91), "sglang": (1.35, 0.76), "trtllm": (0.87, 0.54)}
"""Attention of decoding sequences to a cache in FP8 over one in 16 bits, for short and for long
kernels: medians over AIConfigurator's 76,593 pairs of rows on an H100 (ai-dynamo/aiconfigurator
095f58a: vLLM 0.24.0, SGLang 0.5.14, TensorRT-LLM 1.3.0rc20; `benchmarks/kv_dtype.py`). On short
ones the conversion costs more than the bytes that it saves."""
_SPREAD = {"vllm": 0.06, "sglang": 0.06, "trtllm": 0.26}
"""Median difference of a pair from these ratios, as a share, by the same command."""


def ratios_at(runtime: str, layer_s: np.ndarray) -> np.ndarray:
    """Ratio of a layer's attention by its time with 16 bits, linear in the time's logarithm."""
    return np.interp(np.log(np.maximum(layer_s, 1e-12)), np.log(_LAYER_S), RATIOS[runtime])


def check_kv_dtype(kept: Deployer) -> None:
    """Check the option, and say what is assumed.

    Raises:
        InputError: an unknown type, or a profile, which has the times of its own cache.
    """
    wanted = kept.options.kv_dtype
    if wanted not in KV_DTYPES:
        raise unknown_name("KV cache's data type", wanted, KV_DTYPES)
    if wanted == "auto":
        return
    if kept.options.profile is not None:
        raise InputError(
            "--profile has the times of the cache that it was made with",
            hint="without --kv-dtype, and with --kv-tokens for its capacity",
        )
    short, long = RATIOS[kept.runtime.name]
    kept.notes.append(
        f"--kv-dtype fp8: attention of decoding sequences takes {long:g} (long) to {short:g} "
        f"(short) of its time with 16 bits, as published for {kept.runtime.name} on an H100, where "
        f"half of the rows lie within {format_percent(_SPREAD[kept.runtime.name])} of that; a "
        "prompt's attention is taken to be unchanged"
    )


def cache_bytes(kept: Deployer, decode: Graph) -> float:
    """Bytes that a decoding step of a rank leaves for all its sequences: cache and states."""
    total = 0.0
    for name in decode.outputs[1:]:
        type_ = decode.type_of(name)
        cached = name.startswith(("present_key", "present_value", "present_latent"))
        narrow = kept.options.kv_dtype == "fp8" and cached
        total += (type_.numel or 0) if narrow else (type_.nbytes or 0)
    return total


def with_kv_dtype(kept: Deployer, times: StepTimes, decode: Graph) -> StepTimes:
    """Step times with attention over the cache in its data type.

    Raises:
        InputError: the model does not run in 16 bits, with which the cache was compared.
    """
    if kept.options.kv_dtype == "auto":
        return times
    if kept.dtype not in ("float16", "bfloat16"):
        raise InputError(
            f"--kv-dtype fp8 with a model in {kept.dtype} is not modelled",
            allowed="float16, bfloat16",
            hint="add --dtype bfloat16",
        )
    layers = max(1, sum(op.op_type in _READERS for op in decode.ops))

    def changed(table: np.ndarray) -> np.ndarray:
        return table * ratios_at(kept.runtime.name, table / layers)

    verify_s = None if times.verify_s is None else changed(times.verify_s)
    return replace(
        times, decode_s=changed(times.decode_s), beside_s=changed(times.beside_s), verify_s=verify_s
    )


_READERS = ("Attention", "GroupQueryAttention", "LatentAttention")
