"""Frontier's profiles (github.com/NetX-lab/Frontier, MIT): FlashInfer attention, layers, experts.

`<device>/<model>/{attention*,linear_op*,mlp,moe*}.csv` (also .csv.gz), medians in milliseconds.
`measurement_type` says whether a time is of events around the launch or of the kernel only; the
two are kept as different software. No column says the size of a head: only models in `HEADS` have
attention and its projections read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lydite.errors import InputError
from lydite.store.foreign import forms
from lydite.store.foreign.forms import Pattern
from lydite.store.foreign.layers import BY, PARTS, SIZES, column, layers
from lydite.store.foreign.load import Found, Layout, Skipped, Source
from lydite.store.foreign.tables import Table, read_table
from lydite.store.records import Software

ORIGIN = "frontier"
DEVICES = {
    "a800": "nvidia-a800-sxm4-80gb",
    "h800": "nvidia-h800-sxm5-80gb",
    "rtx_pro_6000": "nvidia-rtx-pro-6000-blackwell",
}
"""Name in the catalog by name of the folder."""
HEADS = {"Llama-2-7b-hf": 128}
"""Elements of a head by model, from their configurations."""
BACKEND = "frontier"
_TYPES = {"BF16": "bfloat16", "FP16": "float16", "": "bfloat16"}
_TIMINGS = {"CUDA_EVENT": "cuda events", "KERNEL_ONLY": "kernel only", "": "cuda events"}
_INTEGER = re.compile(r"\d+")
_STEPS = ("moe_gating_routing_topk", "moe_shuffling", "moe_grouped_gemm")
"""Parts of the operator `MoE`: choosing experts from given scores, sorting tokens, and products."""
_ATTENTION = ("attn_prefill", "attn_decode")
_BATCH = ("batch_size", "prefill_chunk_size", "kv_cache_size", "num_tensor_parallel_workers")
_KEPT = ("profiling_precision", "measurement_type", "quant_signature")
_MIXED = ("is_mixed_batch", "is_true_mixed_batch", "is_chunked_prefill_sample")

Parts = Iterator[Found | Skipped]
Describe = Callable[[Table, str, str], Parts]
"""Describes a table of a model, its numbers in a type."""


def sources(folder: Path) -> tuple[list[Source], dict[str, int]]:
    """The tables of a folder, and the number of files by reason why they are not read.

    Raises:
        InputError: the folder holds no such table.
    """
    found: list[Source] = []
    ignored: dict[str, int] = {}
    for path in sorted(folder.rglob("*.csv*")):
        parts, name = path.relative_to(folder).parts, path.name.partition(".")[0]
        device = next((DEVICES[part] for part in parts[:-1] if part in DEVICES), None)
        kind = next((kind for kind in _TABLES if name.startswith(kind)), None)
        if device is None or kind is None:
            reason = f"unknown device of {name}" if device is None else f"{name}: unknown table"
            ignored[reason] = ignored.get(reason, 0) + 1
            continue
        for timing in ("cuda events", "kernel only"):
            software = Software(BACKEND, {"timing": timing})
            found.append(_source(kind, device, software, path, timing))
    if not found:
        raise InputError(
            "holds no table of Frontier",
            where=str(folder),
            allowed="<device>/<model>/attention.csv, linear_op.csv, mlp.csv and moe.csv",
        )
    return found, ignored


def _source(kind: str, device: str, software: Software, path: Path, timing: str) -> Source:
    def read() -> tuple[Table, Parts]:
        numbers, more, words, describe = _TABLES[kind]
        table = read_table(
            path, numbers, more_numbers=more, more_words=(*_KEPT, *words, "use_gated_mlp")
        )
        timed = np.array([_TIMINGS.get(w, w) for w in table.word("measurement_type")])
        part = table.where_true(timed == timing)
        return part, _by_type(part, path.parent.name, describe)

    return Source(kind, device, ORIGIN, [(software, read)])


def _by_type(table: Table, model: str, describe: Describe) -> Parts:
    precision, packed = table.word("profiling_precision"), table.word("quant_signature", "none")
    for name in sorted(set(precision.tolist())):
        plain = np.isin(packed, ("none", ""))
        chosen = precision == name
        if (chosen & ~plain).any():
            yield Skipped("quantised weights", int((chosen & ~plain).sum()))
        part = table.where_true(chosen & plain)
        if name in _TYPES:
            yield from describe(part, model, _TYPES[name])
        elif part.rows:
            yield Skipped(f"operators in '{name[:20]}'", part.rows)


def _layers(table: Table, model: str, dtype: str) -> Parts:
    yield from layers(table, dtype, heads_known=model in HEADS)


def _attention(table: Table, model: str, dtype: str) -> Parts:
    if model not in HEADS:
        yield Skipped("attention: the size of a head is not said", table.rows)
        return
    alike = _alike(table)
    if not alike.all():
        yield Skipped("attention of a batch of unlike requests", int((~alike).sum()))
    part = table.where_true(alike)
    prompt = np.array([word.lower() == "true" for word in part.word("is_prefill")], dtype=bool)
    workers, head = part["num_tensor_parallel_workers"], HEADS[model]
    size = {
        "batch": part["batch_size"],
        "heads": part["n_q_head"] / workers,
        "kv_heads": np.maximum(part["n_kv_head"] / workers, 1),
        "head": np.full(part.rows, float(head)),
    }
    size |= {"query": size["heads"] * head, "key": size["kv_heads"] * head}
    past = part["kv_cache_size"]
    new = np.where(prompt, part["prefill_chunk_size"], 1)
    whole = forms.attention(
        dtype,
        "@batch",
        "@queries",
        "@heads",
        "@kv_heads",
        ("@query", "@key", "@key", "@query"),
    )
    later = forms.cached_attention(
        dtype,
        "@batch",
        "@queries",
        "@heads",
        "@kv_heads",
        ("@query", "@key", "@head"),
        "@past",
        "@total",
    )
    size |= {"queries": new, "past": past, "total": past + new}
    for key, chosen, name in (
        (whole, prompt & (past == 0), "attn_prefill"),
        (later, prompt & (past > 0), "attn_prefill"),
        (later, ~prompt, "attn_decode"),
    ):
        kept = {label: values[chosen] for label, values in size.items()}
        yield Found(Pattern(key), kept, part[column(name)][chosen])


def _alike(table: Table) -> np.ndarray:
    """Rows whose requests have all one length."""
    alike = np.full(table.rows, fill_value=True)
    for name in ("is_mixed_batch", "is_true_mixed_batch"):
        alike &= np.array([word.lower() != "true" for word in table.word(name)], dtype=bool)
    lengths = [set(_INTEGER.findall(words)) for words in table.word("seq_lens")]
    return alike & np.array([len(each) <= 1 for each in lengths], dtype=bool)


def _experts(table: Table, model: str, dtype: str) -> Parts:
    del model
    shared = table["expert_parallel_size"] > 1
    if shared.any():
        yield Skipped("one rank's share of experts", int(shared.sum()))
    part = table.where_true(~shared)
    gated = np.array([word.lower() == "true" for word in part.word("use_gated")], dtype=bool)
    if not gated.all():
        yield Skipped("experts without a gate", int((~gated).sum()))
    part = part.where_true(gated)
    times = sum((part.number(column(step), np.nan) for step in _STEPS), np.zeros(part.rows))
    whole = np.isfinite(times)
    if not whole.all():
        yield Skipped("experts of which a step was not timed", int((~whole).sum()))
    loads = part.word("load_distribution")
    inner = part["expert_hidden_dim"] / part["num_tensor_parallel_workers"]
    for load in sorted(set(loads.tolist())):
        chosen = whole & (loads == load)
        key = forms.experts(
            dtype,
            "@tokens",
            ("@hidden", "@count", "@wide", "@inner"),
            "@chosen",
            load="" if load == "uniform" else load,
        )
        sizes = {
            "tokens": part["num_tokens"],
            "hidden": part["hidden_dim"],
            "count": part["num_experts"],
            "wide": 2 * inner,
            "inner": inner,
            "chosen": part["router_topk"],
        }
        yield Found(Pattern(key), {n: s[chosen] for n, s in sizes.items()}, times[chosen])


_MOE = ("num_tokens", "num_experts", "router_topk", "hidden_dim", "expert_hidden_dim")
_TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], Describe]] = {
    "attention": (
        (*_BATCH, "n_q_head", "n_kv_head", *(column(part) for part in _ATTENTION)),
        (),
        ("is_prefill", "seq_lens", *_MIXED),
        _attention,
    ),
    "linear_op": ((*SIZES, *BY), tuple(column(part) for part in PARTS), (), _layers),
    "mlp": ((*SIZES, *BY), tuple(column(part) for part in PARTS), (), _layers),
    "moe": (
        (*_MOE, "expert_parallel_size", "num_tensor_parallel_workers"),
        tuple(column(step) for step in _STEPS),
        ("use_gated", "load_distribution"),
        _experts,
    ),
}
"""Numbers, further numbers and further words of each table, and what describes it."""

FRONTIER = Layout(sources)
