"""Which language models of transformers load, with the parameters of its module.

Every type of text generation, and the text part of every type that also sees, is made with its
default config on PyTorch's meta device, and read from that config as a file. Parameters that a
token meets are counted there as well: of a module of experts, the share that it goes through.

python benchmarks/configs.py [TYPE ...]   (with types: prints these alone, writes nothing)
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _figures import Figure, publish

from lydite.errors import InputError
from lydite.models.huggingface import graph_from_config, read_config

_SEEING = (
    "embed_tokens_extend",
    "image_encoder",
    "perceiver_resampler",
    "vision_model",
    "visual_projection",
)
"""Parts of a language model's module that see or hear."""

_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")
"""Fields that say how many experts a token goes through."""

_FOR_PICTURES = ".vision_moe."
"""Experts and their router that no token of text meets."""

EQUAL, DIFFERENT, REFUSED, UNMADE = "equal", "different", "refused", "not made"


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one type.

    Attributes:
        type: the `model_type`.
        state: one of `EQUAL`, `DIFFERENT`, `REFUSED` and `UNMADE`, which is transformers' failure.
        ours, theirs: numbers of parameters; 0 where there is none. Theirs are without those that
            no forward pass can read.
        unread: number of those.
        ours_active, theirs_active: those that a token meets, of types with experts; 0 elsewhere.
        reason: of a refusal or a failure.
    """

    type: str
    state: str
    ours: int = 0
    theirs: int = 0
    ours_active: int = 0
    theirs_active: int = 0
    reason: str = ""
    unread: int = 0


def types() -> list[str]:
    """All types of text generation, then those with images whose answer is text."""
    from transformers.models.auto import modeling_auto as auto

    causal = sorted(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    seeing = sorted(auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    return [*causal, *(name for name in seeing if name not in causal)]


def of_type(name: str, folder: Path) -> Row:
    """One type by its default config."""
    try:
        document, theirs, active, unread = made(name)
    except Exception as error:  # whatever transformers raises is its answer
        return Row(name, UNMADE, reason=f"{type(error).__name__}: {str(error)[:120]}")
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    try:
        options: dict[str, Any] = {"sequence": 1}
        options |= {"phase": "forward"} if "phase" in read_config(path).options else {}
        graph = graph_from_config(path, **options)
    except InputError as error:
        return Row(name, REFUSED, theirs=theirs, reason=" ".join(str(error).split())[:160])
    ours = graph.parameter_count
    actives = (graph.active_parameter_count, active) if active else (0, 0)
    state = EQUAL if ours == theirs else DIFFERENT
    return Row(name, state, ours, theirs, *actives, unread=unread)


def made(name: str) -> tuple[dict[str, Any], int, int, int]:
    """The default config of a type; the parameters of its language model: all, active and unread.

    Active ones are 0 where there are no experts or the config does not say how many a token takes.
    """
    import torch
    import transformers
    from transformers.models.auto import modeling_auto as auto

    config = transformers.AutoConfig.for_model(name)
    causal = name in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    maker = (
        transformers.AutoModelForCausalLM if causal else transformers.AutoModelForImageTextToText
    )
    with torch.device("meta"):
        net = maker.from_config(config)
    document = json.loads(config.to_json_string(use_diff=False))
    document["architectures"] = [type(net).__name__]
    parameters = _language_model(net)
    idle = unread(net, parameters)
    return document, sum(p.numel() for p in parameters) - idle, active(net, parameters), idle


def _experts(net: Any) -> list[list[Any]]:
    """Weights of each module of experts, whose first axis are the experts."""
    return [
        list(module.parameters(recurse=False))
        for module in net.modules()
        if type(module).__name__.endswith("Experts") and "Shared" not in type(module).__name__
    ]


def unread(net: Any, parameters: list[Any]) -> int:
    """Weights of experts that lack another matrix, so that no token can go through them.

    LongCat-Flash has a first matrix, but no second one, for experts that hand tokens on as they
    are; its forward pass never indexes it.
    """
    known = {id(p) for p in parameters}
    found = 0
    for weights in _experts(net):
        whole = min((p.shape[0] for p in weights), default=0)
        found += sum(p[whole:].numel() for p in weights if id(p) in known)
    return found


def active(net: Any, parameters: list[Any]) -> int:
    """Those of the parameters that a token meets: of experts the share that it goes through.

    Experts are modules of a class named so.
    """
    config = net.config.get_text_config()
    chosen = next((n for name in _CHOSEN if (n := getattr(config, name, None))), 0)
    shares = {id(p): Fraction(chosen, p.shape[0]) for weights in _experts(net) for p in weights}
    if not chosen or not shares:
        return 0
    idle = (p for name, p in net.named_parameters() if _FOR_PICTURES in name)
    shares |= {id(p): Fraction(0) for p in idle}
    return int(sum(p.numel() * shares.get(id(p), Fraction(1)) for p in parameters))


def _language_model(net: Any) -> list[Any]:
    """Parameters of the module, or of its decoder and last product where it has other parts."""
    if net.config.get_text_config() is net.config:
        named = net.named_parameters()
        return [p for name, p in named if not any(part in name for part in _SEEING)]
    parts = [net.get_decoder(), net.get_output_embeddings()]
    found = {id(p): p for part in parts if part is not None for p in part.parameters()}
    return list(found.values())


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    chosen = sys.argv[1:]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen or types():
            with contextlib.redirect_stderr(io.StringIO()):
                rows.append(of_type(name, Path(folder)))
            if chosen or rows[-1].state != EQUAL or not _same_active(rows[-1]):
                print(_line(rows[-1]), flush=True)
    if not chosen:
        _publish(rows)


def _same_active(row: Row) -> bool:
    return row.ours_active == row.theirs_active


def _line(row: Row) -> str:
    counts = f"{row.ours:>18,} {row.theirs:>18,}" if row.ours else f"{row.theirs:>37,}"
    actives = f" active {row.ours_active:,} {row.theirs_active:,}" if row.theirs_active else ""
    idle = f" beside {row.unread:,} that nothing reads" if row.unread else ""
    return f"{row.type:<28} {row.state:<10} {counts}{actives}{idle} {row.reason}"


def _publish(rows: list[Row]) -> None:
    found = Counter(row.state for row in rows)
    names = {
        s: " ".join(r.type for r in rows if r.state == s) for s in (DIFFERENT, REFUSED, UNMADE)
    }
    names["beside parameters that nothing reads"] = " ".join(r.type for r in rows if r.unread)
    conditions = {"transformers": version("transformers"), "types": len(rows), **names}
    goals = {EQUAL: ("higher", None), DIFFERENT: ("lower", 0.0), REFUSED: ("lower", None)}
    counted = [row for row in rows if row.ours and row.theirs_active]
    unlike = " ".join(row.type for row in counted if not _same_active(row))
    with_experts = {**conditions, "types": len(counted), "different": unlike}
    same = sum(map(_same_active, counted))
    figure, unequal = "active parameters", len(counted) - same
    publish(
        "configs",
        [
            *(
                Figure(f"types {state}", found[state], "types", goal, better, conditions)
                for state, (better, goal) in goals.items()
            ),
            Figure(f"{figure} equal", same, "types", None, "higher", with_experts),
            Figure(f"{figure} {DIFFERENT}", unequal, "types", 0.0, "lower", with_experts),
        ],
    )


if __name__ == "__main__":
    main()
