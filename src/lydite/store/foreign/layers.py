"""Layers of transformers as Vidur and Frontier profile them: one row has the parts of one layer.

Columns `time_stats.<part>.median` in milliseconds, by number of tokens and of tensor-parallel
workers, with the model's sizes. A head has n_embd / n_head elements, as in Vidur's code.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lydite.store.foreign import forms
from lydite.store.foreign.forms import Pattern, named
from lydite.store.foreign.load import Found, Skipped
from lydite.store.foreign.tables import Table

SIZES = ("n_head", "n_kv_head", "n_embd", "n_expanded_embd")
BY = ("num_tokens", "num_tensor_parallel_workers")
PRODUCTS = ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj")
OF_HEADS = ("attn_pre_proj", "attn_post_proj")
NORMS = ("input_layernorm", "post_attention_layernorm")
UNDESCRIBED = {
    "emb": "a share of an embedding, with its mask",
    "attn_rope": "rotary positions of queries and keys together",
    "mlp_act": "an activation and its gate together",
    "share_expert_up_proj": "experts that all tokens share",
    "share_expert_act": "experts that all tokens share",
    "share_expert_down_proj": "experts that all tokens share",
    "mtp_fusion_proj": "a head that predicts several tokens",
    "lm_head_linear": "a product of sizes that are not said",
}
PARTS = (*PRODUCTS, *NORMS, "add", *UNDESCRIBED)


def column(part: str) -> str:
    """Name of the column of a part's time."""
    return f"time_stats.{part}.median"


def layers(table: Table, dtype: str, *, heads_known: bool) -> Iterator[Found | Skipped]:
    """The parts of layers.

    Args:
        table: Columns as above.
        dtype: Type of activations and weights.
        heads_known: Whether a head has n_embd / n_head elements.
    """
    workers, tokens, width = (
        table["num_tensor_parallel_workers"],
        table["num_tokens"],
        table["n_embd"],
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        head = width / table["n_head"]
        queries = table["n_head"] / workers * head
        # Heads of keys that do not suffice for all workers are repeated.
        keys = np.maximum(table["n_kv_head"] / workers, 1) * head
        inner = table["n_expanded_embd"] / workers
    gated = np.array([word.lower() == "true" for word in table.word("use_gated_mlp")])
    wide = np.where(gated, 2, 1) * inner
    shapes = {
        "attn_pre_proj": (width, queries + 2 * keys),
        "attn_post_proj": (queries, width),
        "mlp_up_proj": (width, wide),
        "mlp_down_proj": (inner, width),
    }
    for part in PARTS:
        if column(part) not in table:
            continue
        times = table[column(part)]
        there = np.isfinite(times)
        if part in UNDESCRIBED:
            yield Skipped(f"{part}: {UNDESCRIBED[part]}", int(there.sum()))
        elif part in OF_HEADS and not heads_known:
            yield Skipped(f"{part}: the size of a head is not said", int(there.sum()))
        elif part in shapes:
            k, n = shapes[part]
            pattern = Pattern(forms.product(dtype, *named("m", "k", "n")))
            yield _taken(there, times, pattern, 2 * tokens * k * n, m=tokens, k=k, n=n)
        elif part == "add":
            pattern = Pattern(forms.elementwise("Add", dtype, *named("rows", "width")))
            yield _taken(there, times, pattern, None, rows=tokens, width=width)
        else:
            for name, chosen in (("RMSNormalization", gated), ("LayerNormalization", ~gated)):
                pattern = Pattern(forms.norm(name, dtype, *named("rows", "width")))
                yield _taken(there & chosen, times, pattern, None, rows=tokens, width=width)


def _taken(
    chosen: np.ndarray,
    times: np.ndarray,
    pattern: Pattern,
    flops: np.ndarray | None,
    **sizes: np.ndarray,
) -> Found:
    kept = {name: size[chosen] for name, size in sizes.items()}
    return Found(pattern, kept, times[chosen], None, None if flops is None else flops[chosen])
