"""Documents of a served workload, and the reasons of its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import TypedDict

from lydite.api.serving.fleet import FleetDocument, fleet_document
from lydite.api.serving.speculation import SpeculationDocument, speculation_document
from lydite.api.serving.tiers import TiersDocument, tier_reasons, tiers_document
from lydite.api.serving.variants import LoraDocument

if TYPE_CHECKING:
    from lydite.api.serving.deployment import Deployer, Rank
    from lydite.serving import KvTiers, Outcome, Replica
    from lydite.serving.layout import Layout
    from lydite.serving.metrics import Objective


class PriorityDocument(TypedDict):
    """Requests of one priority, where there are several; `figures` hold mean and percentiles."""

    priority: int
    requests: int
    preempted: int
    figures: dict[str, dict[str, float]]


class DeploymentDocument(TypedDict):
    """A deployment under the workload; `figures` hold mean and percentiles of each.

    Shares lie between 0 and 1.
    """

    layout: str
    weights: str
    devices: int
    kv_tokens: list[int]
    weights_bytes: float | None
    working_bytes: float | None
    kv_token_bytes: float | None
    figures: dict[str, dict[str, float]]
    throughput: dict[str, float]
    tokens_per_s_per_device: float
    tokens_per_s_per_user: float
    objectives: dict[str, Any]
    met: bool | None
    goodput_per_s: float | None
    unfinished: int
    preempted: int
    cached_share: float
    kv_peak_share: float
    busy_share: float
    steps: int
    speculation: SpeculationDocument | None
    fleet: FleetDocument | None
    tiers: TiersDocument | None
    lora: LoraDocument | None
    priorities: list[PriorityDocument]
    step: dict[str, float]
    sources: dict[str, float]
    bounds: list[float]
    cost: dict[str, float]
    why: list[str]


def deployment_document(
    deployer: Deployer,
    layout: Layout,
    replicas: Sequence[Replica],
    outcome: Outcome,
    objectives: Sequence[Objective],
) -> DeploymentDocument:
    """What a deployment did with the workload."""
    from lydite.serving.metrics import figures, goodput, met, throughput

    found, flow = figures(outcome), throughput(outcome)
    memory = deployer.rank(layout.parts[-1]).memory
    kept = met(outcome, objectives)
    times, groups = deployer.rank(layout.parts[-1]).times, layout.parts[-1].groups
    capacity = np.array([replica.kv_tokens for replica in replicas])
    running_s = outcome.end_s * len(replicas)
    if deployer.options.fail or deployer.options.autoscale:
        running_s = float(outcome.on_s.sum())
    computed = max(1, int(outcome.requests.prompt.sum()))
    tpot = found.get("tpot", {}).get("mean", 0.0)
    document: DeploymentDocument = {
        "layout": str(layout),
        "weights": deployer.weights,
        "devices": layout.devices,
        "kv_tokens": sorted({int(each) for each in capacity}),
        "weights_bytes": memory.weights if memory else None,
        "working_bytes": memory.working if memory else None,
        "kv_token_bytes": memory.kv_token if memory else None,
        "figures": _in_seconds(found),
        "throughput": flow,
        "tokens_per_s_per_device": flow["output_tokens_per_s"] / layout.devices,
        "tokens_per_s_per_user": 1 / tpot if tpot else 0.0,
        "objectives": {
            str(o): {"seconds": kept[str(o)][0], "limit_s": o.limit_s, "met": kept[str(o)][1]}
            for o in objectives
        },
        "met": all(ok for _, ok in kept.values()) if objectives else None,
        "goodput_per_s": goodput(outcome, objectives) if objectives else None,
        "unfinished": int(np.isnan(outcome.last_s).sum()),
        "preempted": int(outcome.preempted.sum()),
        "cached_share": float(np.maximum(outcome.hits, 0).sum() / computed),
        "kv_peak_share": float((outcome.peak_tokens / capacity).max()),
        "busy_share": float(outcome.busy_s.sum() / max(running_s, 1e-12)),
        "steps": outcome.steps,
        "speculation": speculation_document(deployer.options, deployer.drafting, outcome),
        "fleet": fleet_document(deployer.options, outcome),
        "tiers": tiers_document(_tiers(replicas), groups, outcome),
        "lora": None,
        "priorities": _priorities(outcome) if deployer.scheduler.priorities else [],
        "step": _step(deployer.rank(layout.parts[-1]), outcome, deployer.mean_context, groups),
        "sources": dict(times.sources),
        "bounds": [times.low, times.high],
        "cost": _cost(deployer, layout, outcome, flow),
        "why": [],
    }
    document["lora"] = _lora(deployer, deployer.rank(layout.parts[-1]), document["step"])
    document["why"] = reasons(document, deployer.scheduler.max_num_seqs)
    return document


def _in_seconds(found: Mapping[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The figures with the unit in their names."""
    return {f"{name}_s": cuts for name, cuts in found.items()}


def _lora(deployer: Deployer, rank: Rank, step: dict[str, float]) -> LoraDocument | None:
    """The LoRA adapters and what they add to the usual decoding step."""
    own = deployer.adapters
    if own is None:
        return None
    each = 1 if rank.speculation is None else 1 + rank.speculation.tokens
    tokens = min(int(step["sequences"]) * each, len(rank.lora_s) - 1)
    return {
        "rank": own.rank,
        "adapters": own.count,
        "share": own.share,
        "targets": own.targets,
        "bytes_per_rank": rank.lora_bytes,
        "step_s": float(rank.lora_s[tokens]),
    }


def _tiers(replicas: Sequence[Replica]) -> KvTiers | None:
    """The first tiers of some replicas; those that decode apart have none."""
    return next((each.tiers for each in replicas if each.tiers is not None), None)


def _priorities(outcome: Outcome) -> list[PriorityDocument]:
    """Figures of the requests of each priority; none where all have the same."""
    from lydite.serving.metrics import figures_of

    every = np.unique(outcome.requests.priority)
    if len(every) < 2:
        return []
    rows = []
    for priority in every[:MOST_PRIORITIES]:
        mine = outcome.requests.priority == priority
        row: PriorityDocument = {
            "priority": int(priority),
            "requests": int(mine.sum()),
            "preempted": int(outcome.preempted[mine].sum()),
            "figures": _in_seconds(figures_of(outcome, mine)),
        }
        rows.append(row)
    return rows


MOST_PRIORITIES = 16
"""Most priorities whose figures are told apart, the most urgent first."""


def _step(rank: Rank, outcome: Outcome, context: int, groups: int) -> dict[str, float]:
    """Parts of a usual decoding step, in seconds."""
    times, ahead = rank.times, rank.speculation
    latency = outcome.latency_s[~np.isnan(outcome.last_s)]
    replicas = max(1, len(outcome.busy_s))
    span = max(outcome.end_s, 1e-12)
    sequences = max(1, round(float(latency.sum()) / span / replicas)) if len(latency) else 1
    sequences = min(sequences, len(times.head_s) - 1)
    each = 1 if ahead is None else 1 + ahead.tokens
    tokens = sequences * each
    step = {
        "sequences": float(sequences),
        "context": float(context),
        "host_s": times.host_s + times.host_sequence_s * sequences,
        "dense_s": float(times.dense_s[min(tokens, len(times.dense_s) - 1)]),
        "attention_s": times.decode_attention_s(sequences, context, beside=False, tokens=each),
        "head_s": float(times.head_s[min(tokens, len(times.head_s) - 1)]),
        "experts_s": float(times.experts_s[min(tokens * groups, len(times.experts_s) - 1)]),
    }
    if ahead is not None and ahead.times is not None:
        step["drafts_s"] = ahead.times.drafting_s(sequences, context, ahead.tokens)
    return step


def _cost(
    deployer: Deployer, layout: Layout, outcome: Outcome, flow: dict[str, float]
) -> dict[str, float]:
    """USD an hour and a million output tokens; energy at the boards' limits while they compute."""
    made: dict[str, float] = {}
    if deployer.options.price is not None:
        running = float(outcome.on_s.sum()) / max(outcome.end_s * len(outcome.on_s), 1e-12)
        share = running if deployer.options.autoscale else 1.0
        hour = deployer.options.price * layout.devices * share
        made["usd_per_hour"] = hour
        made["usd_per_million_output_tokens"] = (
            hour / max(flow["output_tokens_per_s"] * 3600, 1e-12) * 1e6
        )
    if deployer.device.power_w:
        per = layout.devices / max(1, len(outcome.busy_s))
        joules = float(outcome.busy_s.sum()) * per * deployer.device.power_w
        made["modelled_j_per_output_token"] = joules / max(
            1.0, float(outcome.requests.output.sum())
        )
        if deployer.options.carbon is not None:
            kwh = made["modelled_j_per_output_token"] * 1e6 / 3.6e6
            made["modelled_gco2_per_million_output_tokens"] = kwh * deployer.options.carbon
    return made


_STEP_PARTS = {
    "dense": "products and norms (reading weights, while few sequences run)",
    "attention": "attention (reading the KV cache)",
    "head": "the head and the sampler",
    "experts": "experts that are spread, and the messages to them",
    "drafts": "drafting tokens ahead",
    "host": "the host",
}


def reasons(document: DeploymentDocument, sequences: int) -> list[str]:
    """What limits the deployment, the most pressing first."""
    from lydite.units import format_percent, format_seconds

    told = []
    queue = document["figures"].get("queue_s", {}).get("mean", 0.0)
    first = document["figures"].get("ttft_s", {}).get("mean", 0.0)
    waits = first > 0 and queue > 0.3 * first
    if waits and document["kv_peak_share"] > 0.97:
        told.append(
            f"KV cache: full at its peak ({document['preempted']} preemptions); requests wait "
            f"{format_seconds(queue)} for room"
        )
    elif waits and document["step"]["sequences"] >= 0.95 * sequences:
        told.append(f"max_num_seqs: {sequences} requests run, others wait {format_seconds(queue)}")
    elif waits:
        told.append(
            f"queue: requests wait {format_seconds(queue)} of the {format_seconds(first)} to "
            "their first token"
        )
    if document["tiers"]:
        told += tier_reasons(document["tiers"], first)
    step = document["step"]
    parts = {name: step.get(f"{name}_s", 0.0) for name in _STEP_PARTS}
    whole = sum(parts.values()) or 1.0
    largest = max(parts, key=lambda name: parts[name])
    told.append(
        f"a decoding step of {step['sequences']:.0f} sequences takes {format_seconds(whole)}: "
        f"{format_percent(parts[largest] / whole)} in {_STEP_PARTS[largest]}"
    )
    told.append(f"replicas compute {format_percent(document['busy_share'])} of the time")
    return told
