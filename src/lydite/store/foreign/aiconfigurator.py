"""AIConfigurator's tables (github.com/ai-dynamo/aiconfigurator, Apache-2.0): kernels of serving.

`<system>/.../<framework>/<version>/<table>.parquet` (older ones `.txt`, which is CSV); times in
milliseconds. `num_key_value_heads` of 0 means as many as heads; `message_size` counts elements;
`step` is the number of tokens in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lydite.errors import InputError
from lydite.store.foreign import forms
from lydite.store.foreign.forms import Pattern, named
from lydite.store.foreign.load import Found, Layout, Skipped, Source
from lydite.store.foreign.tables import Table, read_table
from lydite.store.foreign.versions import version_order
from lydite.store.records import Software

ORIGIN = "aiconfigurator"
DEVICES = {
    "a100_sxm": "nvidia-a100-sxm4-80gb",
    "a100_pcie": "nvidia-a100-pcie-80gb",
    "h100_sxm": "nvidia-h100-sxm5-80gb",
    "h20_sxm": "nvidia-h20-sxm-96gb",
    "h200_sxm": "nvidia-h200-sxm-141gb",
    "h800_sxm": "nvidia-h800-sxm5-80gb",
    "b200_sxm": "nvidia-b200-sxm-180gb",
    "b300_sxm": "nvidia-b300-sxm-270gb",
    "gb200": "nvidia-gb200-186gb",
    "gb200_sxm": "nvidia-gb200-186gb",
    "gb300": "nvidia-gb300-279gb",
    "l4": "nvidia-l4",
    "l40s": "nvidia-l40s",
    "rtx_5090": "nvidia-rtx-5090",
    "rtx_pro_6000_server": "nvidia-rtx-pro-6000-blackwell-server",
    "rtxpro6000_blackwell_server": "nvidia-rtx-pro-6000-blackwell-server",
    "b60": "intel-arc-pro-b60",
}
"""Name in the catalog by name of the system."""
FRAMEWORKS = ("vllm", "sglang", "trtllm", "nccl", "oneccl")
_SUFFIXES = (".parquet", ".txt", ".csv", ".csv.gz")
_BF16, _FP8 = "bfloat16", "float8e4m3fn"
_TYPES = {"bfloat16": _BF16, "float16": "float16", "fp8": _FP8}
_COMMON = ("kernel_source",)
_KINDS = {
    "all_reduce": "AllReduce",
    "all_gather": "AllGather",
    "reduce_scatter": "ReduceScatter",
    "alltoall": "AllToAll",
}
_NCCL_TYPES = {"half": "float16", "int8": "int8", "float": "float32", "bfloat16": "bfloat16"}

Parts = Iterator[Found | Skipped]


def sources(folder: Path) -> tuple[list[Source], dict[str, int]]:
    """The tables of a folder, and the number of files by reason why they are not read.

    Raises:
        InputError: the folder holds no such table.
    """
    found: dict[tuple[str, str, str], list[tuple[str, Path]]] = {}
    ignored: dict[str, int] = {}
    for path in sorted(folder.rglob("*_perf.*")):
        name = path.name.partition(".")[0]
        if not path.name.endswith(_SUFFIXES) or not path.is_file():
            continue
        system = next((part for part in reversed(path.parts[:-1]) if part in DEVICES), None)
        framework, version = path.parent.parent.name.lower(), path.parent.name
        if system is None or framework not in FRAMEWORKS:
            what = "system" if system is None else f"framework '{framework}'"
            reason = f"unknown {what}"
        elif name not in TABLES:
            reason = f"{name}: no operator describes it"
        else:
            found.setdefault((system, name, framework), []).append((version, path))
            continue
        ignored[reason] = ignored.get(reason, 0) + 1
    if not found:
        raise InputError(
            "holds no table of AIConfigurator",
            where=str(folder),
            allowed="<system>/.../<framework>/<version>/<table>_perf.parquet",
        )
    return [
        Source(
            name,
            DEVICES[system],
            ORIGIN,
            [
                (Software(framework, {framework: version}), _reading(path, name))
                for version, path in sorted(
                    paths, key=lambda pair: version_order(pair[0]), reverse=True
                )
            ],
        )
        for (system, name, framework), paths in sorted(found.items())
    ], ignored


def _reading(path: Path, name: str) -> Callable[[], tuple[Table, Parts]]:
    def read() -> tuple[Table, Parts]:
        numbers, words, more, describe = TABLES[name]
        table = read_table(
            path, (*numbers, "latency"), words, more_numbers=more, more_words=_COMMON
        )
        return table, describe(table)

    return read


def _found(
    table: Table, pattern: Pattern, flops: np.ndarray | None = None, **sizes: object
) -> Found:
    kernels = table.columns.get("kernel_source")
    columns = {name: np.broadcast_to(np.asarray(size), table.rows) for name, size in sizes.items()}
    return Found(pattern, columns, table["latency"], kernels, flops)


def _split(table: Table, *names: str) -> Iterator[tuple[tuple[str, ...], Table]]:
    """The table by the values of some words."""
    columns = [table.word(name) for name in names]
    joined = np.array(["\t".join(row) for row in zip(*columns, strict=True)], dtype=object)
    for value in sorted(set(joined.tolist())):
        yield tuple(value.split("\t")), table.where_true(joined == value)


def _gemm(table: Table) -> Parts:
    m, k, n = named("m", "k", "n")
    for (dtype,), part in _split(table, "gemm_dtype"):
        sizes = {name: part[name] for name in ("m", "k", "n")}
        flops = 2 * part["m"] * part["k"] * part["n"]
        if dtype in _TYPES:
            kind = _TYPES[dtype]
            key = forms.product(kind, m, k, n, out=_BF16 if dtype == "fp8" else None)
            yield _found(part, Pattern(key), flops, **sizes)
        elif dtype in ("int4_wo", "int8_wo"):
            bits = int(dtype[3])
            key = forms.packed_product(_BF16, m, k, n, bits, "@packed")
            yield _found(part, Pattern(key), flops, packed=part["k"] * bits // 8, **sizes)
        else:
            yield Skipped(f"products in '{dtype}'", part.rows)


def _heads(table: Table) -> dict[str, np.ndarray]:
    heads, kv_heads = table["num_heads"], table.number("num_key_value_heads", 0)
    return {"heads": heads, "kv_heads": np.where(kv_heads == 0, heads, kv_heads)}


def _attention_types(attention: str, cache: str) -> tuple[str, str] | None:
    """Type of queries and of keys; None for what has no name here."""
    queries, keys = _TYPES.get(attention), _TYPES.get(cache or attention)
    return None if queries is None or keys is None else (queries, keys)


_Types = tuple[str, str]


def _attention_parts(table: Table) -> Iterator[tuple[_Types, Table | Skipped]]:
    """Rows of attention with one beam by their types; what has no name here is skipped."""
    none = ("", "")
    beams = table.number("beam_width", 1) > 1
    if beams.any():
        yield none, Skipped("attention with several beams", int(beams.sum()))
    for words, part in _split(table.where_true(~beams), "attn_dtype", "kv_cache_dtype"):
        types = _attention_types(*words)
        if types is None:
            yield none, Skipped(f"attention in '{words[0]}'", part.rows)
        else:
            yield types, part


def _prefill(table: Table) -> Parts:
    for types, part in _attention_parts(table):
        if isinstance(part, Skipped):
            yield part
            continue
        later = part.number("step", 0) > 0
        windowed = part.number("window_size", 0)
        within = (windowed > 0) & (windowed < part["isl"] + part.number("step", 0))
        yield from _prompts(part.where_true(~later & ~within), types, windowed=False)
        yield from _prompts(part.where_true(~later & within), types, windowed=True)
        yield from _cached(part.where_true(later & ~within), types, windowed=False)
        yield from _cached(part.where_true(later & within), types, windowed=True)


def _prompts(part: Table, types: tuple[str, str], *, windowed: bool, causal: bool = True) -> Parts:
    if not part.rows:
        return
    dtype, keys = types
    size, head = _heads(part), part["head_dim"]
    key = forms.attention(
        dtype,
        "@batch",
        "@queries",
        "@heads",
        "@kv_heads",
        ("@query", "@key", "@key", "@query"),
        keys=keys,
        causal=causal,
        window="@window" if windowed else None,
    )
    flops = 2 * part["batch_size"] * size["heads"] * part["isl"] ** 2 * head
    yield _found(
        part,
        Pattern(key),
        None if windowed else flops,
        batch=part["batch_size"],
        queries=part["isl"],
        query=size["heads"] * head,
        key=size["kv_heads"] * head,
        window=part.number("window_size", 0),
        **size,
    )


def _generation(table: Table) -> Parts:
    for types, part in _attention_parts(table):
        if isinstance(part, Skipped):
            yield part
            continue
        window = part.number("window_size", 0)
        within = (window > 0) & (window < part["isl"] + part["step"])
        yield from _cached(part.where_true(~within), types, windowed=False)
        yield from _cached(part.where_true(within), types, windowed=True)


def _cached(part: Table, types: tuple[str, str], *, windowed: bool) -> Parts:
    if not part.rows:
        return
    dtype, keys = types
    size, head, past = _heads(part), part["head_dim"], part["step"]
    key = forms.cached_attention(
        dtype,
        "@batch",
        "@queries",
        "@heads",
        "@kv_heads",
        ("@query", "@key", "@head"),
        "@past",
        "@total",
        keys=keys,
        window="@window" if windowed else None,
    )
    yield _found(
        part,
        Pattern(key),
        batch=part["batch_size"],
        queries=part["isl"],
        query=size["heads"] * head,
        key=size["kv_heads"] * head,
        head=head,
        past=past,
        total=past + part["isl"],
        window=part.number("window_size", 0),
        **size,
    )


def _encoder(table: Table) -> Parts:
    for (dtype,), part in _split(table, "attn_dtype"):
        if dtype in _TYPES:
            types = (_TYPES[dtype], _TYPES[dtype])
            yield from _prompts(part, types, windowed=False, causal=False)
        else:
            yield Skipped(f"attention in '{dtype}'", part.rows)


def _latent_prefill(table: Table) -> Parts:
    later = table.number("step", 0) > 0
    if later.any():
        yield Skipped("latent attention of a prompt with a cache", int(later.sum()))
    for words, part in _split(table.where_true(~later), "mla_dtype", "kv_cache_dtype"):
        types = _attention_types(*words)
        if types is None:
            yield Skipped(f"attention in '{words[0]}'", part.rows)
            continue
        heads, width = part["num_heads"], forms.NOPE + forms.ROPE
        key = forms.attention(
            types[0],
            "@batch",
            "@queries",
            "@heads",
            "@heads",
            ("@query", "@query", "@value", "@value"),
            keys=types[1],
        )
        yield _found(
            part,
            Pattern(key),
            batch=part["batch_size"],
            queries=part["isl"],
            heads=heads,
            query=heads * width,
            value=heads * forms.VALUE,
        )


def _latent_generation(table: Table) -> Parts:
    for words, part in _split(table, "mla_dtype", "kv_cache_dtype"):
        types = _attention_types(*words)
        if types is None:
            yield Skipped(f"attention in '{words[0]}'", part.rows)
            continue
        heads = part["num_heads"]
        key = forms.latent_attention(
            types[0],
            "@batch",
            "@heads",
            ("@query", "@result"),
            "@past",
            "@total",
            keys=types[1],
        )
        yield _found(
            part,
            Pattern(key),
            batch=part["batch_size"],
            heads=heads,
            query=heads * (forms.LATENT + forms.ROPE),
            result=heads * forms.LATENT,
            past=part["step"],
            total=part["step"] + part["isl"],
        )


def _experts(table: Table) -> Parts:
    shared = table["moe_ep_size"] > 1
    if shared.any():
        yield Skipped("one rank's share of experts (moe_ep_size > 1)", int(shared.sum()))
    plain = np.array(["nongated" in kernel for kernel in table.word("kernel_source")], dtype=bool)
    if (plain & ~shared).any():
        yield Skipped("experts without a gate", int((plain & ~shared).sum()))
    for words, part in _split(table.where_true(~shared & ~plain), "moe_dtype", "distribution"):
        dtype, load = words
        if dtype not in _TYPES:
            yield Skipped(f"experts in '{dtype}'", part.rows)
            continue
        weights = _TYPES[dtype]
        key = forms.experts(
            weights if weights != _FP8 else _BF16,
            "@tokens",
            ("@hidden", "@count", "@wide", "@inner"),
            "@chosen",
            weights=weights,
            load="" if load == "balanced" else load,
        )
        inner = np.floor(part["inter_size"] / part["moe_tp_size"])
        yield _found(
            part,
            Pattern(key),
            6 * part["num_tokens"] * part["topk"] * part["hidden_size"] * inner,
            tokens=part["num_tokens"],
            hidden=part["hidden_size"],
            count=part["num_experts"],
            wide=2 * inner,
            inner=inner,
            chosen=part["topk"],
        )


def _collectives(table: Table) -> Parts:
    column = "nccl_dtype" if "nccl_dtype" in table else "allreduce_dtype"
    for (kind, dtype), part in _split(table, "op_name", column):
        if kind not in _KINDS or dtype not in _NCCL_TYPES:
            yield Skipped(f"{kind} of {dtype}", part.rows)
            continue
        ranks, elements = part["num_gpus"], part["message_size"]
        if kind == "all_gather":  # the message is the whole; an operator's input, a rank's part
            elements = elements / ranks
        key = forms.collective(_KINDS[kind], _NCCL_TYPES[dtype], *named("ranks", "elements"))
        yield _found(part, Pattern(key), ranks=ranks, elements=elements)


_ATTENTION = ("batch_size", "isl", "num_heads", "head_dim")
_CACHE = ("attn_dtype", "kv_cache_dtype")
_LATENT = ("batch_size", "isl", "num_heads", "step")
_EXPERTS = ("hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")
_MORE = ("step", "window_size", "beam_width", "num_key_value_heads")

Describe = Callable[[Table], Parts]
TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], Describe]] = {
    "gemm_perf": (("m", "n", "k"), ("gemm_dtype",), (), _gemm),
    "context_attention_perf": (_ATTENTION, _CACHE, _MORE, _prefill),
    "generation_attention_perf": ((*_ATTENTION, "step"), _CACHE, _MORE, _generation),
    "encoder_attention_perf": (_ATTENTION, ("attn_dtype",), (), _encoder),
    "context_mla_perf": (_LATENT, ("mla_dtype", "kv_cache_dtype"), (), _latent_prefill),
    "generation_mla_perf": (_LATENT, ("mla_dtype", "kv_cache_dtype"), (), _latent_generation),
    "moe_perf": (("num_tokens", *_EXPERTS), ("moe_dtype", "distribution"), (), _experts),
    "nccl_perf": (("num_gpus", "message_size"), ("op_name", "nccl_dtype"), (), _collectives),
    "custom_allreduce_perf": (
        ("num_gpus", "message_size"),
        ("op_name", "allreduce_dtype"),
        (),
        _collectives,
    ),
}
"""Numbers and words of each table, further numbers that newer ones have, and what describes it."""

AICONFIGURATOR = Layout(sources)
