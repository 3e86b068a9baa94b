"""A served workload as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lydite.report.text import signed_percent, table
from lydite.units import format_bytes, format_percent, format_seconds

NAMES = {
    "ttft": "time to first token",
    "tpot": "time per output token, after the first",
    "itl": "gap between tokens",
    "latency": "latency",
    "tpot_with_first": "latency per output token",
    "queue": "wait for the first step",
}
_OF_A_PRIORITY = (("ttft_s", "p50"), ("ttft_s", "p99"), ("tpot_s", "mean"), ("latency_s", "p99"))
_SHOWN = 12


def serve_text(document: Mapping[str, Any]) -> str:
    """Workload, deployments, reasons, answers."""
    load = document["workload"]
    lines = [
        f"{document['model']} in {document['dtype']} on {document['device']}: {_load(load)}",
        f"{document['runtime']}: {document['decides']}, in virtual time (simulated)",
    ]
    if document["found"]:
        lines += ["", *_found(document["found"])]
    rows = document["deployments"]
    if len(rows) > 1:
        lines += ["", _compared(rows)]
    else:
        lines += _one(rows[0])
    if document["replay"]:
        lines += ["", *_replay(document["replay"])]
    lines += [f"note: {note}" for note in document["notes"]]
    return "\n".join(lines)


def _load(load: Mapping[str, Any]) -> str:
    if load["origin"].startswith("drawn"):
        return str(load["name"])
    means = f"{load['prompt_mean']:.0f} + {load['output_mean']:.0f} tokens"
    return f"{load['name']}, {load['requests']} requests of {means} in the mean"


def headline(document: Mapping[str, Any]) -> str:
    """Model, device, and the answer in one line."""
    row = document["deployments"][0]
    first = row["figures"].get("ttft_s", {}).get("p99", float("nan"))
    token = row["figures"].get("tpot_s", {}).get("mean", float("nan"))
    return (
        f"{document['model']} on {row['layout']} {document['device']}: TTFT p99 "
        f"{format_seconds(first)}, TPOT {format_seconds(token)}, "
        f"{row['throughput']['output_tokens_per_s']:,.0f} tokens/s (simulated)"
    )


def _one(row: Mapping[str, Any]) -> list[str]:
    kept = ", ".join(f"{tokens:,}" for tokens in row["kv_tokens"])
    memory = f"KV cache of {kept} tokens a replica"
    if row["weights_bytes"]:
        memory += (
            f"; a rank holds {format_bytes(row['weights_bytes'])} of weights ({row['weights']}) "
            f"and {format_bytes(row['kv_token_bytes'])} a token"
        )
    lines = [f"{row['layout']} ({row['devices']} devices); {memory}", ""]
    at = ["mean", "p50", "p90", "p95", "p99"]
    body = [
        [NAMES[name.removesuffix("_s")], *(format_seconds(cut[key]) for key in at)]
        for name, cut in row["figures"].items()
    ]
    lines.append(table("", ["", *at], body))
    flow = row["throughput"]
    lines += [
        "",
        f"throughput: {flow['requests_per_s']:.3g} requests/s, "
        f"{flow['output_tokens_per_s']:,.0f} output tokens/s "
        f"({row['tokens_per_s_per_device']:,.0f} a device, "
        f"{row['tokens_per_s_per_user']:.3g} a user), "
        f"{flow['prompt_tokens_per_s']:,.0f} prompt tokens/s",
        f"KV cache: {format_percent(row['kv_peak_share'])} at its peak, {row['preempted']} "
        f"preemptions, {format_percent(row['cached_share'])} of prompt tokens found in it",
    ]
    lines += _tiers(row)
    lines += _lora(row)
    lines += _speculation(row)
    lines += _priorities(row)
    if row["fleet"]:
        told = row["fleet"]
        lines.append(
            f"replicas: {told['failures']} failures ({told['retried']} requests sent again), "
            f"{told['starts']} starts, {told['stops']} stops; {told['mean_replicas']:.2f} ran in "
            "the mean"
        )
    if row["unfinished"]:
        lines.append(f"{row['unfinished']} requests did not end")
    lines += _objectives(row)
    lines += [f"why: {text}" for text in row["why"]]
    shares = ", ".join(f"{name} {format_percent(share)}" for name, share in row["sources"].items())
    low, high = row["bounds"]
    lines.append(f"step times: {shares}; 90 % between {low:.2f} and {high:.2f} times these")
    lines += _cost(row)
    return lines


def _lora(row: Mapping[str, Any]) -> list[str]:
    told = row["lora"]
    if told is None:
        return []
    return [
        f"LoRA: {told['adapters']} adapters of rank {told['rank']} on {told['targets']} products, "
        f"{format_percent(told['share'])} of requests use one; "
        f"{format_bytes(told['bytes_per_rank'])} a rank, "
        f"{format_seconds(told['step_s'])} of the usual decoding step"
    ]


def _tiers(row: Mapping[str, Any]) -> list[str]:
    told = row["tiers"]
    if told is None:
        return []
    found = ", ".join(
        f"{told[f'{tier}_hit_tokens']:,} {where}"
        for tier, where in (
            ("device", "on the device"),
            ("host", "in host memory"),
            ("disk", "on disk"),
        )
    )
    moved = ", ".join(
        f"{format_bytes(size)} {way} ({format_percent(told['busy_share'][way])} of the time)"
        for way, size in told["moved_bytes"].items()
        if size or "host" in way
    )
    lines = [
        f"KV tiers: prompt tokens found: {found}; moved: {moved}",
        f"KV tiers: {told['loads']} loads, {format_seconds(told['load_wait_s'])} of waiting for "
        f"them; steps waited {format_seconds(told['write_wait_s'])} for copies; {told['rule']}",
    ]
    if told["dropped_blocks"]:
        lines.append(f"KV tiers: the disk was too slow for {told['dropped_blocks']:,} blocks")
    return lines


def _speculation(row: Mapping[str, Any]) -> list[str]:
    told = row["speculation"]
    if told is None:
        return []
    verified = told["drafted"] / told["tokens"]
    accepted = told["accepted"] / verified if verified else 0.0
    return [
        f"speculation: {told['draft']} drafts {told['tokens']} tokens a request and step; "
        f"{accepted:.2f} of them are accepted in the mean ({told['expected']:.2f} by "
        f"{'an assumed' if told['assumed'] else '--'}{' ' if told['assumed'] else ''}acceptance)"
    ]


def _priorities(row: Mapping[str, Any]) -> list[str]:
    body = []
    for each in row["priorities"]:
        figures = each["figures"]
        cells = [
            format_seconds(figures[name][at]) if name in figures else ""
            for name, at in _OF_A_PRIORITY
        ]
        body.append([str(each["priority"]), str(each["requests"]), str(each["preempted"]), *cells])
    if not body:
        return []
    columns = ["priority", "requests", "preempted", "TTFT p50", "p99", "TPOT", "latency p99"]
    return ["", table("", columns, body)]


def _objectives(row: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, kept in row["objectives"].items():
        word = "met" if kept["met"] else "NOT met"
        value, limit = format_seconds(kept["seconds"]), format_seconds(kept["limit_s"])
        lines.append(f"{name}: {value}, limit {limit}: {word}")
    if row["goodput_per_s"] is not None:
        lines.append(f"goodput: {row['goodput_per_s']:.3g} requests/s within all limits")
    return lines


def _cost(row: Mapping[str, Any]) -> list[str]:
    cost = row["cost"]
    lines = []
    if "usd_per_hour" in cost:
        lines.append(
            f"cost: {cost['usd_per_hour']:.2f} USD/h, "
            f"{cost['usd_per_million_output_tokens']:.3g} USD a million output tokens"
        )
    if "modelled_j_per_output_token" in cost:
        joules = cost["modelled_j_per_output_token"]
        lines.append(f"energy: {joules:.3g} J an output token (modelled: boards at their limit)")
    if "modelled_gco2_per_million_output_tokens" in cost:
        grams = cost["modelled_gco2_per_million_output_tokens"]
        lines.append(f"carbon: {grams:.3g} g CO2 a million output tokens (modelled, as the energy)")
    return lines


def _compared(rows: list[Mapping[str, Any]]) -> str:
    body = []
    for row in rows:
        figures, flow = row["figures"], row["throughput"]
        word = {None: "", True: "met", False: "not met"}[row["met"]]
        body.append(
            [
                row["layout"],
                row["weights"],
                str(row["devices"]),
                format_seconds(figures["ttft_s"]["p50"]),
                format_seconds(figures["ttft_s"]["p99"]),
                format_seconds(figures["tpot_s"]["mean"]) if "tpot_s" in figures else "",
                f"{flow['output_tokens_per_s']:,.0f}",
                f"{row['tokens_per_s_per_device']:,.0f}",
                f"{row['tokens_per_s_per_user']:.1f}",
                word,
            ]
        )
    columns = ["layout", "weights", "devices", "TTFT p50", "p99", "TPOT"]
    columns += ["tokens/s", "a device", "a user", "objectives"]
    return table("", columns, body)


def _found(found: Mapping[str, Any]) -> list[str]:
    value, low, high = found["value"], found["at_low"], found["at_high"]
    if found["goal"] == "gpus":
        text = f"{value:.0f} devices: {found['layout']}"
        if high is None:
            text += "; at the upper bound of step times no number is enough"
        elif high != value or (low is not None and low != value):
            text += f"; {high:.0f} if step times are at their upper bound"
            text += f", {low:.0f} at their lower" if low is not None else ""
    elif found["goal"] == "rate":
        text = f"{value:.3g} requests/s on {found['layout']}"
        ends = [f"{end:.3g}" if end is not None else "none" for end in (high, low)]
        text += f"; {ends[0]} to {ends[1]} at the bounds of step times"
    else:
        text = f"{found['layout']}: {value:.3g} requests/s"
    lines = [text, f"limit: {found['limit']}"]
    if found["goal"] == "config":
        body = [
            [row["layout"], f"{row['rate_per_s']:.3g}" if row["met"] else "none"]
            for row in found["tried"][:_SHOWN]
        ]
        lines.append(table("", ["layout", "requests/s"], body))
    return lines


def _replay(replay: Mapping[str, Any]) -> list[str]:
    body = []
    for name, row in replay["figures"].items():
        body.append(
            [
                NAMES[name],
                format_seconds(row["measured_mean_s"]),
                format_seconds(row["simulated_mean_s"]),
                signed_percent(row["error_mean"]),
                signed_percent(row["error_p90"]),
                format_percent(row["median_request_error"]),
            ]
        )
    log = "measured" if replay["log"] == "measured" else "log, simulated"
    columns = ["", log, "simulated", "error", "of p90", "a request, median"]
    return [f"against the log's {replay['requests']} requests:", table("", columns, body)]
