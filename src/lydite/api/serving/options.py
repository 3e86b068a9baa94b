"""Options of `serve`: the deployment and the workload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from lydite.api.options import Help, Options
from lydite.api.serving.pictures import PictureOptions
from lydite.api.serving.tiers import TierOptions
from lydite.api.serving.variants import VariantOptions
from lydite.records import dataclass


@dataclass(frozen=True)
class DeploymentOptions(Options):
    """Devices, runtime and replicas.

    Attributes:
        on: Device of every rank: a catalog name, a .yaml file, or a chip design.
        runtime: Runtime that schedules: "vllm", "sglang" or "trtllm".
        tp: Number of devices of a replica (tensor parallelism).
        ep: Number of devices of a replica over which experts are spread; attention runs on groups
            of `tp` of them, each with requests of its own. 1 cuts experts like other products.
        pp: Number of pipeline stages of a replica, of `tp` devices each (vLLM).
        expert_load: How tokens spread over experts: "balanced", "power-law:1.2", or a file with
            the tokens of each expert.
        replicas: Number of replicas.
        layout: The same in words, such as "tp2x4" or "pd2:6"; replaces `tp` and `replicas`.
        prefill: Replicas that only prefill, such as "4xtp2", with `decode`.
        decode: Replicas that only decode.
        kv_link: Bandwidth of the link over which a prefill replica sends the KV cache.
        router: How requests find a replica: "round-robin", "least-loaded" or "prefix".
        draft: Model that drafts tokens ahead, which the model verifies: a name of the set, or a
            config.json; "ngram" for tokens that are looked up in the text before; "mtp" for the
            model's own multi-token prediction; "eagle" for a layer as EAGLE trains it.
        draft_tokens: Tokens that are drafted for each request of a step; None for as many as
            `acceptance` has.
        acceptance: Chance that a drafted token is accepted, given that all before it were, by
            position, such as "0.8,0.6,0.4"; or one for all positions.
        policy: Order of requests: "fcfs", or "priority" by the workload's priorities (vLLM).
        fail: Replicas that fail, such as "2@30:10,3@50": the second fails after 30 s and starts
            again after 10 s more, the third fails for good.
        cold_start: Seconds from the start of a replica until it takes requests.
        autoscale: Least and most replicas, and when one is started or stopped, such as
            "1:4,queue=8,idle=60".
        max_num_seqs: Most requests that run at once on a replica; None for the runtime's default.
        max_num_batched_tokens: Most tokens of a step; None for the runtime's default.
        max_model_len: Most tokens of a request, prompt and output; None for no limit.
        memory_share: Share of the device's memory that the runtime takes; None for its default.
        kv_tokens: Tokens that the KV cache of a replica holds; None to work it out.
        kv_dtype: Data type of the KV cache: "auto" for the model's, or "fp8".
        prefix_caching: "on" if blocks of the KV cache are found by their content, else "off".
        chunked_prefill: "on" if prompts are split over steps, "off" if not; None for the runtime's
            default.
        profile: Folder with times of the model's kernels on this device, in LLMServingSim's
            layout, instead of estimates.
        price: Price of a device in USD per hour.
        carbon: CO2 of the grid in grams per kWh.
    """

    on: Annotated[str, Help("Device: a catalog name or a .yaml file.")] = "h100"
    runtime: Annotated[str, Help("Runtime that schedules: vllm, sglang or trtllm.")] = "vllm"
    tp: Annotated[
        int, Help("Number of devices of a replica (tensor parallelism).", min=1, max=1024)
    ] = 1
    ep: Annotated[
        int,
        Help(
            "Number of devices over which experts are spread; groups of --tp of them attend to "
            "requests of their own. 1: experts are cut like other products.",
            min=1,
            max=4096,
        ),
    ] = 1
    pp: Annotated[
        int,
        Help(
            "Number of pipeline stages of a replica, of --tp devices each (vllm only).",
            min=1,
            max=256,
        ),
    ] = 1
    expert_load: Annotated[
        str,
        Help(
            "How tokens spread over experts: balanced, power-law:EXPONENT, or a file with the "
            "tokens of each expert."
        ),
    ] = "balanced"
    replicas: Annotated[int, Help("Number of replicas.", min=1, max=100_000)] = 1
    layout: Annotated[
        str | None,
        Help("Replicas in words: tp2x4 (four of two devices), pd2:6 (2 prefill, 6 decode)."),
    ] = None
    prefill: Annotated[
        str | None, Help("Replicas that only prefill, such as 4xtp2; with --decode.")
    ] = None
    decode: Annotated[str | None, Help("Replicas that only decode, such as 2xtp4.")] = None
    kv_link: Annotated[
        str, Help("Bandwidth over which a prefill replica sends the KV cache, such as 400Gb/s.")
    ] = "400Gb/s"
    router: Annotated[
        str, Help("How requests find a replica: round-robin, least-loaded or prefix.")
    ] = "least-loaded"
    draft: Annotated[
        str | None,
        Help(
            "Model that drafts tokens ahead for speculation, with --acceptance; ngram looks them "
            "up in the text before, mtp and eagle draft by one layer."
        ),
    ] = None
    draft_tokens: Annotated[
        int | None,
        Help(
            "Number of tokens drafted per request and step; default: as many as --acceptance has.",
            min=1,
            max=16,
        ),
    ] = None
    acceptance: Annotated[
        str | None,
        Help(
            "Chance that a drafted token is accepted if all before it were, by position: "
            "0.8,0.6,0.4; or one for all."
        ),
    ] = None
    policy: Annotated[
        str,
        Help("Order in which requests are served: fcfs, or priority (of the trace; vllm only)."),
    ] = "fcfs"
    fail: Annotated[
        str | None,
        Help(
            "Replicas that fail, as REPLICA@SECONDS or REPLICA@SECONDS:DURATION, comma-separated; "
            "their requests are sent again to others."
        ),
    ] = None
    cold_start: Annotated[
        float,
        Help(
            "Seconds from the start of a replica until it takes requests, with --fail or "
            "--autoscale.",
            min=0,
            unit="s",
        ),
    ] = 0.0
    autoscale: Annotated[
        str | None,
        Help(
            "Start and stop replicas: MIN:MAX,queue=N,idle=S starts one when over N requests wait "
            "for each (default: 8), stops one idle for S seconds (default: 60)."
        ),
    ] = None
    max_num_seqs: Annotated[
        int | None,
        Help("Most requests that run at once on a replica; default: the runtime's.", min=1),
    ] = None
    max_num_batched_tokens: Annotated[
        int | None, Help("Most tokens of a step; default: the runtime's.", min=1, max=1 << 20)
    ] = None
    max_model_len: Annotated[
        int | None, Help("Most tokens of a request, prompt and output; default: no limit.", min=2)
    ] = None
    memory_share: Annotated[
        float | None,
        Help(
            "Share of the device's memory that the runtime takes; default: the runtime's.",
            aliases=("--gpu-memory-utilization",),
        ),
    ] = None
    kv_tokens: Annotated[
        int | None, Help("Tokens in the KV cache of a replica; default: what fits.", min=32)
    ] = None
    kv_dtype: Annotated[
        str,
        Help(
            "Data type of the KV cache: auto (the model's) or fp8.", aliases=("--kv-cache-dtype",)
        ),
    ] = "auto"
    prefix_caching: Annotated[
        str, Help("Whether blocks of the KV cache are found by their content: on or off.")
    ] = "on"
    chunked_prefill: Annotated[
        str | None,
        Help("Whether prompts are split over steps: on or off; default: the runtime's."),
    ] = None
    profile: Annotated[
        Path | None,
        Help("Folder with times of the model's kernels on this device (LLMServingSim's layout)."),
    ] = None
    price: Annotated[
        float | None, Help("Price of a device in USD per hour.", min=0, unit="USD/h")
    ] = None
    carbon: Annotated[
        float | None, Help("CO2 of the grid in grams per kWh.", min=0, unit="g/kWh")
    ] = None


@dataclass(frozen=True)
class ServeOptions(PictureOptions, VariantOptions, TierOptions, DeploymentOptions):
    """The deployment; options of its bases, the last one's first."""


@dataclass(frozen=True)
class WorkloadOptions(Options):
    """The workload: a trace, a log, or requests that are drawn.

    Attributes:
        trace: File with arrivals and lengths: Azure, Mooncake, BurstGPT, or arrival_s, prompt,
            output (.csv or .jsonl); or a result file of vLLM's bench serve, GuideLLM or AIPerf.
        replay: Log or result file with measured times, compared request by request.
        benchmark: Number of the benchmark in a result file that holds several, counted from 1;
            None for the only one.
        rate: Requests per second; a trace's arrivals are scaled to it.
        concurrency: Requests in flight of a closed loop.
        requests: Number of requests; None for all of a trace, else as many as arrive in two
            minutes, at least 300.
        isl: Mean number of prompt tokens.
        osl: Mean number of output tokens.
        arrival: Arrivals at a rate: "poisson", "gamma" or "constant".
        burstiness: Standard deviation of gamma gaps over their mean.
        spread: Standard deviation of lengths over their mean.
        shared_prefix: Share of each prompt that all requests have in common.
        turns: Requests of a conversation.
        think: Seconds between the end of a turn and the next.
    """

    trace: Annotated[
        Path | None,
        Help(
            "Trace of arrivals and lengths: Azure, Mooncake, BurstGPT (.csv, .jsonl), or a result "
            "file of vLLM's bench serve, GuideLLM or AIPerf."
        ),
    ] = None
    replay: Annotated[
        Path | None,
        Help("Log or result file with measured times of tokens, compared request by request."),
    ] = None
    benchmark: Annotated[
        int | None,
        Help("Number of the benchmark in a result file that holds several, from 1.", min=1),
    ] = None
    rate: Annotated[
        float | None, Help("Requests per second; arrivals of a trace are scaled to it.", unit="/s")
    ] = None
    concurrency: Annotated[int | None, Help("Requests in flight of a closed loop.", min=1)] = None
    requests: Annotated[
        int | None,
        Help("Number of requests; default: a trace's, else as many as arrive in 2 minutes.", min=1),
    ] = None
    isl: Annotated[float, Help("Mean number of prompt tokens.", min=1)] = 1024
    osl: Annotated[float, Help("Mean number of output tokens.", min=1)] = 256
    arrival: Annotated[str, Help("Arrivals at a rate: poisson, gamma or constant.")] = "poisson"
    burstiness: Annotated[
        float, Help("Standard deviation of the gaps of gamma arrivals over their mean.")
    ] = 2.0
    spread: Annotated[
        float, Help("Standard deviation of lengths over their mean; 0: all are equal.")
    ] = 0.0
    shared_prefix: Annotated[
        float, Help("Share of each prompt that all requests have in common.", min=0, max=1)
    ] = 0.0
    turns: Annotated[int, Help("Requests of a conversation.", min=1)] = 1
    think: Annotated[
        float, Help("Seconds between the end of a turn and the next request.", min=0, unit="s")
    ] = 0.0
