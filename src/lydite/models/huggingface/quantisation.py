"""`quantization_config`: how few bits the weights of a config have."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from lydite.errors import InputError
from lydite.models.huggingface.config import Config
from lydite.models.quantised import WeightFormat

_FLOAT8 = "float8e4m3fn"


def weight_format(c: Config) -> tuple[WeightFormat | None, str]:
    """The format of a config's weights, and what is to be said of it.

    Raises:
        InputError: a method that is not known, or an impossible number of bits.
    """
    rules = c.inner("quantization_config", "compression_config", "quantization")
    if rules is None:
        return None, ""
    method = str(rules.raw("quant_method", "quant_algo", "method", default="")).lower()
    if method in ("fp8", "fbgemm_fp8", "fp8_pb_wo", "fp8_block_scaling"):
        block = rules.numbers("weight_block_size")
        size = block[-1] if block and block[-1] > 0 else 0
        return _float8(size, rules.raw("expert_dtype", default=c.raw("expert_dtype")))
    if method in ("gptq", "awq", "auto-round", "autoround", "gptq_marlin", "awq_marlin"):
        bits = rules.size("bits", "w_bit", default=4)
        if bits not in (4, 8):
            raise rules.refuse(rules.name_of("bits", "w_bit"), "4 or 8")
        size = rules.raw("group_size", "q_group_size", default=128)
        return _format(bits, size if isinstance(size, int) and size > 0 else 0), (
            f"weights in {bits} bits ({method}); arithmetic in the activations' type"
        )
    if method == "bitnet" and rules.raw("quantization_mode") != "online":
        return _format(2, 0), "ternary weights in 2 bits; arithmetic in the activations' type"
    if method == "mxfp4":
        return WeightFormat(4, 32, "uint8", experts_only=True), (
            "experts' weights in mxfp4; arithmetic in the activations' type"
        )
    if method == "bitsandbytes":
        four = rules.flag("load_in_4bit", default=False)
        bits = 4 if four else 8
        return _format(bits, 64 if four else 0), (
            f"weights in {bits} bits (bitsandbytes); arithmetic in the activations' type"
        )
    if isinstance(rules.raw("quantized_layers"), dict):
        return _mixed(rules)
    if method in ("compressed-tensors", "modelopt", "nvfp4", "fp4"):
        return _compressed(rules, method)
    raise InputError(
        f"quant_method '{method}' is not built",
        where=rules.where,
        allowed="awq, bitnet, bitsandbytes, compressed-tensors, fp8, gptq, modelopt, mxfp4",
    )


def _float8(block: int, experts: object) -> tuple[WeightFormat, str]:
    """Weights in float8, and perhaps experts' in four bits with a scale for 32 (DeepSeek-V4)."""
    said = "arithmetic in the activations' type"
    if experts not in ("fp4", "mxfp4"):
        return _format(8, block, _FLOAT8), f"weights in float8; {said}"
    four = WeightFormat(4, 32, "uint8")
    form = WeightFormat(8, block, _FLOAT8, experts=four)
    return form, f"weights in float8, experts' in 4 bits; {said}"


def _mixed(rules: Config) -> tuple[WeightFormat, str]:
    """Layers by name with an algorithm each: that of most experts, and that of most others."""
    layers = rules.raw("quantized_layers")
    named = [
        ("expert" in str(name), str(layer.get("quant_algo", "")).upper())
        for name, layer in layers.items()
        if isinstance(layer, dict)
    ]
    forms = []
    for wanted in (False, True):
        algorithms = Counter(algorithm for expert, algorithm in named if expert == wanted)
        ((most, _),) = algorithms.most_common(1) or (("", 0),)
        if most and "4" not in most and "8" not in most:
            raise rules.refuse("quantized_layers", "algorithms of 4 or 8 bits")
        four = WeightFormat(4, 16, "uint8") if "FP4" in most else WeightFormat(4, 0, "uint8")
        forms.append(four if "4" in most else _format(8, 0, _FLOAT8) if most else None)
    others, experts = forms
    if others is None and experts is None:
        raise rules.refuse("quantized_layers", "layers with quant_algo")
    if others is None:
        form = replace(experts or _format(8, 0), experts_only=True)
    else:
        form = replace(others, experts=experts)
    return form, "weights in formats by layer; arithmetic in the activations' type"


def _format(bits: int, block: int, dtype: str = "uint8") -> WeightFormat:
    return WeightFormat(bits, block, dtype)


def _compressed(rules: Config, method: str) -> tuple[WeightFormat, str]:
    """Groups of layers with a scheme each; that of the first group's weights is taken."""
    groups = rules.raw("config_groups", default={})
    first = next(iter(groups.values()), {}) if isinstance(groups, dict) else {}
    weights = first.get("weights") if isinstance(first, dict) else None
    scheme = Config(weights if isinstance(weights, dict) else {}, rules.where)
    algorithm = str(rules.raw("quant_algo", "format", default="")).lower()
    usual = 8 if "8" in algorithm or not algorithm else 4
    bits = scheme.size("num_bits", default=usual)
    if bits not in (4, 8):
        raise scheme.refuse("num_bits", "4 or 8")
    size = scheme.raw("group_size", default=16 if "fp4" in algorithm else 0)
    dtype = (
        _FLOAT8 if bits == 8 and "int" not in str(scheme.raw("type", default="float")) else "uint8"
    )
    block = size if isinstance(size, int) and size > 0 else 0
    return _format(bits, block, dtype), (
        f"weights in {bits} bits ({method}); arithmetic in the activations' type"
    )
