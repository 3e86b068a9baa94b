"""Runtimes of language models: defaults of their schedulers, and room for the KV cache."""

from __future__ import annotations

from lydite.errors import InputError, unknown_name
from lydite.hardware import Device
from lydite.records import dataclass
from lydite.serving.replicas import Scheduler
from lydite.units import format_bytes

GIB = 2**30


@dataclass(frozen=True)
class ServingRuntime:
    """A runtime that serves language models.

    Attributes:
        name: Name, as in `lydite.estimate.runtimes.RUNTIMES`.
        version: Version whose decisions are followed.
        exact: Whether they were compared with the runtime's own, step by step.
        small, large: Scheduler on devices of less than 70 GiB, and on larger ones.
        memory_share: Share of the device's memory that it takes.
        of_free: Whether that is a share of what the weights leave.
        source: Where these defaults come from.
    """

    name: str
    version: str
    exact: bool
    small: Scheduler
    large: Scheduler
    memory_share: float
    of_free: bool
    source: str

    @property
    def says(self) -> str:
        """How its decisions are known, in words."""
        word = "decides as" if self.exact else "modelled after"
        return f"{word} {self.name} {self.version}"


_ROWS = (
    ServingRuntime(
        "vllm",
        "0.19.0",
        True,
        Scheduler("vllm", 256, 2048),
        Scheduler("vllm", 1024, 8192),
        0.9,
        False,
        "vllm/engine/arg_utils.py, get_batch_defaults, for the API server",
    ),
    ServingRuntime(
        "sglang",
        "0.5",
        False,
        Scheduler("sglang", 2048, 4096, 16384, ahead=True),
        Scheduler("sglang", 2048, 8192, 16384, ahead=True),
        0.88,
        False,
        "sglang/srt/server_args.py",
    ),
    ServingRuntime(
        "trtllm",
        "1.0",
        False,
        Scheduler("trtllm", 2048, 8192, chunked_prefill=False, ahead=True),
        Scheduler("trtllm", 2048, 8192, chunked_prefill=False, ahead=True),
        0.9,
        True,
        "tensorrt_llm/llmapi/llm_args.py: a share of the memory that the weights leave",
    ),
)
SERVING_RUNTIMES = {row.name: row for row in _ROWS}
_LARGE_BYTES = 70 * GIB


def find_serving_runtime(name: str) -> ServingRuntime:
    """The runtime with this name.

    Raises:
        InputError: the name is unknown (the error suggests the nearest one).
    """
    if name not in SERVING_RUNTIMES:
        raise unknown_name("serving runtime", name, SERVING_RUNTIMES)
    return SERVING_RUNTIMES[name]


def memory_of(device: Device) -> float:
    """Bytes that a program sees of a device.

    Makers of GPUs count in GiB and call them GB, and firmware takes about 2 %: a "24 GB" RTX 4090
    reports 25,250,627,584 bytes, an "80 GB" H100 84,929,052,672.
    """
    return device.memory_bytes * GIB / 1e9 * 0.98 if device.kind == "gpu" else device.memory_bytes


CONTEXT_BYTES = 0.6e9
"""What CUDA, NCCL and captured graphs take beside tensors; assumed."""


@dataclass(frozen=True)
class Footprint:
    """Memory of a rank, in bytes.

    Attributes:
        weights: Weights.
        working: Activations of the largest step, logits, context.
        kv_token: KV of a token.
        limit: What the runtime may take.
    """

    weights: float
    working: float
    kv_token: float
    limit: float

    @property
    def kv_bytes(self) -> float:
        """Room for the KV cache."""
        return self.limit - self.weights - self.working

    @property
    def kv_tokens(self) -> int:
        """Tokens that fit."""
        return max(0, int(self.kv_bytes / self.kv_token))


def footprint(
    device: Device,
    runtime: ServingRuntime,
    scheduler: Scheduler,
    *,
    weights: float,
    kv_token: float,
    token_bytes: float,
    vocabulary: int,
    share: float | None = None,
) -> Footprint:
    """Memory of a rank.

    Args:
        device: Device of the rank.
        runtime: Runtime.
        scheduler: Options of its scheduler.
        weights: Bytes of the rank's weights.
        kv_token: Bytes of the KV of a token on the rank.
        token_bytes: Largest activations of a token, in bytes.
        vocabulary: Size of the vocabulary.
        share: Share of the memory that the runtime takes; None for its default.

    Raises:
        InputError: the share is not between 0 and 1, or the weights alone do not fit (says by how
            much).
    """
    share = runtime.memory_share if share is None else share
    if not 0 < share <= 1:
        raise InputError(f"a share of memory of {share:g}", allowed="more than 0, up to 1")
    total = memory_of(device)
    logits = 10.0 * min(scheduler.max_num_seqs, 1024) * vocabulary
    working = CONTEXT_BYTES + scheduler.max_num_batched_tokens * token_bytes + logits
    limit = total * share
    if runtime.of_free:
        limit = weights + working + max(0.0, total - weights - working) * share
    made = Footprint(weights, working, kv_token, limit)
    if made.kv_bytes < kv_token:
        raise InputError(
            f"does not fit {device.name}: weights {format_bytes(weights)} and working memory "
            f"{format_bytes(working)} leave nothing of {format_bytes(limit)} for the KV cache "
            f"({format_bytes(max(0.0, -made.kv_bytes))} too much)",
            hint="more GPUs a replica (--tp), weights of fewer bits (--dtype), or a larger device",
        )
    return made
