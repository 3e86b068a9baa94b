"""Variants of a deployment: formats of weights, and LoRA adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typing_extensions import TypedDict

from lydite.api.options import Help, Options
from lydite.errors import InputError, unknown_name
from lydite.graph.passes import WEIGHTS
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.serving.lora import Adapters

FLOATS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""Data types by the words of --compare."""


@dataclass(frozen=True)
class VariantOptions(Options):
    """Formats of weights, and LoRA adapters.

    Attributes:
        weights: Format of the weights of dense layers and experts: "fp8", "int8" or "int4";
            activations keep their data type. None for that of the model.
        lora: Rank of LoRA adapters; None for none.
        adapters: Number of adapters that are resident, with `lora`.
        lora_share: Share of the requests that use an adapter, each adapter as often as others.
        lora_targets: Products that are adapted: "all" but the head, routers and experts, or those
            of "attention".
    """

    weights: Annotated[
        str | None,
        Help(
            "Weights of dense layers and experts: fp8, int8 or int4, with activations in --dtype; "
            "default: the model's."
        ),
    ] = None
    lora: Annotated[int | None, Help("Rank of LoRA adapters (vllm only).", min=1, max=512)] = None
    adapters: Annotated[
        int | None,
        Help("Number of LoRA adapters that are resident; default: 1.", min=1, max=4096),
    ] = None
    lora_share: Annotated[
        float | None,
        Help("Share of the requests that use a LoRA adapter; default: 1.", min=0, max=1),
    ] = None
    lora_targets: Annotated[
        str | None,
        Help("Products that LoRA adapts: all (but head, routers and experts) or attention."),
    ] = None


class LoraDocument(TypedDict):
    """LoRA adapters.

    Attributes:
        rank: Rank of each.
        adapters: Number that is resident.
        share: Share of the requests that use one.
        targets: Products that are adapted.
        bytes_per_rank: Bytes of all of them on a rank.
        step_s: What they add to the usual decoding step, in seconds.
    """

    rank: int
    adapters: int
    share: float
    targets: str
    bytes_per_rank: float
    step_s: float


def adapters_of(options: VariantOptions, runtime: str) -> Adapters | None:
    """The LoRA adapters; None without.

    Raises:
        InputError: an option has no effect, or the runtime's adapters are not modelled.
    """
    from lydite.serving.lora import TARGETS, Adapters

    if options.lora is None:
        for name in ("adapters", "lora_share", "lora_targets"):
            if getattr(options, name) is not None:
                word = "--" + name.replace("_", "-")
                raise InputError(f"{word} has no effect here", hint="add --lora 16")
        return None
    if runtime != "vllm":
        raise InputError(f"--lora is not modelled for {runtime}", allowed="vllm")
    targets = options.lora_targets or "all"
    if targets not in TARGETS:
        raise unknown_name("--lora-targets", targets, TARGETS)
    share = 1.0 if options.lora_share is None else options.lora_share
    return Adapters(options.lora, options.adapters or 1, share, targets)


def read_variant(text: str) -> tuple[str, str | None]:
    """A layout and the word of its weights from words such as "tp2:fp8".

    Raises:
        InputError: the word behind the colon is none of these.
    """
    layout, colon, word = text.strip().rpartition(":")
    known = (*FLOATS, *WEIGHTS)
    if not colon or word[:1].isdigit():  # pd2:6
        return text.strip(), None
    if word not in known:
        raise unknown_name("format of weights", word, known)
    return layout, word
