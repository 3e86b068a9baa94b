"""Deployments from options: step times, memory and replicas of a model on a device."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lydite.api.devices import chain_for, device_and_sources
from lydite.api.load import Model, ModelLike, RankOptions, resolve, takes_phase, takes_sizes
from lydite.api.options import ModelOptions
from lydite.api.serving.fleet import most_replicas
from lydite.api.serving.options import ServeOptions
from lydite.api.serving.speculation import drafting_of
from lydite.api.serving.tiers import read_bandwidth, tiers_of
from lydite.api.serving.variants import FLOATS, adapters_of
from lydite.errors import InputError, unknown_name
from lydite.serving.experts import expert_bytes
from lydite.serving.layout import Layout, Part, made_part, read_layout, read_part

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.graph import Graph
    from lydite.hardware import Device
    from lydite.serving import (
        KvTiers,
        Replica,
        Requests,
        Scheduler,
        Speculation,
        StepTimes,
        Traffic,
    )
    from lydite.serving.deploy import Footprint, ServingRuntime
    from lydite.serving.experts import Spread
    from lydite.serving.lora import Adapters
    from lydite.serving.stages import Stages

POLICIES = ("fcfs", "priority")
"""Orders in which requests are served."""
UNLIMITED = 1 << 20
"""Positions of a model that states none."""


@dataclass(frozen=True, eq=False)
class Rank:
    """What a rank of a replica of some devices does and holds.

    Attributes:
        times: Times of the replica's steps.
        memory: Memory of the rank; None where the KV cache was stated.
        kv_tokens: Tokens that the replica's KV cache holds.
        speculation: Tokens that are drafted ahead, or None.
        tiers: Where blocks go that leave the devices, or None.
        lora_bytes: Bytes of the LoRA adapters.
        lora_s: What they add to a step by its number of tokens, from 0 on.
    """

    times: StepTimes
    memory: Footprint | None
    kv_tokens: int
    speculation: Speculation | None = None
    tiers: KvTiers | None = None
    lora_bytes: float = 0.0
    lora_s: np.ndarray = field(default_factory=lambda: np.zeros(1))


@dataclass(frozen=True)
class Held:
    """What a rank of a model holds.

    Attributes:
        weights: Bytes of its weights.
        kv_token: Bytes of the KV of a token.
        vocabulary: Size of the vocabulary.
    """

    weights: float
    kv_token: float
    vocabulary: int


@dataclass(eq=False)
class Deployer:
    """Replicas of a model on a device, by number of devices of each; tables are made once.

    Attributes:
        model: What the user named.
        options: Options of the deployment.
        shape: Options of the model.
        device: Device.
        runtime: Runtime.
        mean_context: Mean tokens of a request.
        longest: Most tokens that the model can hold.
        largest: Most tokens of a request.
        drafting: How tokens are drafted ahead, without times; or None.
        drafter: What makes the ranks of the model that drafts, or None.
        adapters: LoRA adapters, or None.
    """

    session: Session
    model: ModelLike
    options: ServeOptions
    shape: ModelOptions
    device: Device
    runtime: ServingRuntime
    mean_context: int
    longest: int
    largest: int
    notes: list[str] = field(default_factory=list)
    _ranks: dict[tuple[int, int, int], Rank] = field(default_factory=dict)
    label: str = ""
    dtype: str = ""
    drafting: Speculation | None = None
    drafter: Deployer | None = None
    adapters: Adapters | None = None

    def variant(self, word: str | None) -> Deployer:
        """The same deployment with other weights, by a word of --compare; None for these."""
        if word is None:
            return self
        if word in FLOATS:
            shape, weights = replace(self.shape, dtype=FLOATS[word]), None
        else:
            shape, weights = self.shape, word
        options = replace(self.options, weights=weights)
        return replace(self, options=options, shape=shape, _ranks={})

    @property
    def weights(self) -> str:
        """Format of the weights, or their data type."""
        return self.options.weights or self.dtype

    @property
    def scheduler(self) -> Scheduler:
        """The runtime's scheduler with the user's options."""
        from lydite.serving.deploy import _LARGE_BYTES, memory_of

        large = memory_of(self.device) >= _LARGE_BYTES
        rules = self.runtime.large if large else self.runtime.small
        if self.options.policy not in POLICIES:
            raise unknown_name("policy", self.options.policy, POLICIES)
        chosen: dict[str, Any] = {
            "max_num_seqs": self.options.max_num_seqs,
            "max_num_batched_tokens": self.options.max_num_batched_tokens,
            "max_model_len": self.options.max_model_len,
            "priorities": self.options.policy == "priority",
            "chunked_prefill": _switch("chunked_prefill", self.options.chunked_prefill),
            "prefix_caching": _switch("prefix_caching", self.options.prefix_caching),
        }
        return replace(rules, **{name: v for name, v in chosen.items() if v is not None})

    def layout(self) -> Layout:
        """The layout that the options say.

        Raises:
            InputError: it is said twice, half, or cannot be read.
        """
        o = self.options
        most_replicas(o)
        said = {
            "--layout": o.layout,
            "--prefill and --decode": o.prefill or o.decode,
            "--replicas": o.replicas > 1,
        }
        twice = [name for name, value in said.items() if value]
        if len(twice) > 1:
            raise InputError(f"{' and '.join(twice)} both say what the replicas are")
        if o.prefill or o.decode:
            if o.tp > 1 or o.ep > 1 or o.pp > 1:
                raise InputError(
                    "--tp, --pp and --ep have no effect here", hint="say it there: --prefill 2xtp4"
                )
            if not (o.prefill and o.decode):
                absent = "--decode" if o.prefill else "--prefill"
                raise InputError(f"{absent} is missing", hint="both are needed")
            parts = read_part(o.prefill, "prefill"), read_part(o.decode, "decode")
            return Layout(parts)
        if o.layout:
            return read_layout(o.layout, o.tp)
        return Layout((made_part(most_replicas(o), o.tp, o.ep, "both", "the layout", o.pp),))

    def replicas(self, layout: Layout) -> list[Replica]:
        """The replicas of a layout.

        Raises:
            InputError: the model does not fit, cannot be divided, or has an unknown operator.
        """
        from lydite.serving import Replica

        made = []
        for part in layout.parts:
            rank = self.rank(part)
            for number in range(part.count):
                name = f"{part.role if part.role != 'both' else 'replica'} {number + 1}"
                group = len(made) if part.groups > 1 else None
                one = Replica(
                    self.scheduler,
                    rank.times,
                    rank.kv_tokens,
                    part.role,
                    name,
                    group,
                    rank.speculation,
                    rank.tiers,
                )
                made += [one] * part.groups
        return made

    def traffic(self, layout: Layout) -> Traffic:
        """What connects them."""
        from lydite.serving import Traffic

        bandwidth = read_bandwidth(self.options.kv_link, "--kv-link")
        token = 0.0
        for part in layout.parts:
            memory = self.rank(part).memory
            token = memory.kv_token * part.tp * part.pp if memory else 0.0
        return Traffic(self.options.router, token, bandwidth)

    def rank(self, part: Part) -> Rank:
        """A rank of a replica of some devices."""
        degrees = part.tp, part.ep, part.pp
        if degrees not in self._ranks:
            self._ranks[degrees] = self._made(part)
        return self._ranks[degrees]

    def _made(self, part: Part) -> Rank:
        rules = self.scheduler
        context = max(2, min(self.mean_context, self.longest - 8))
        decode = self._graph("decode", part, 8, context)
        held = self._held(decode)
        weights, kv_token, spread = held.weights, held.kv_token, None
        if part.ep > 1:
            whole = self._graph("decode", Part(), 8, context)
            weights += expert_bytes(whole) / part.ep - expert_bytes(decode)
            spread = self._spread(part, whole)
        stages = self._stages(part, decode)
        if stages is not None:
            weights, kv_token = stages.weights_of(decode), kv_token * max(stages.shares)
        drafts = self._drafts(part, held)
        if drafts is not None:
            weights, kv_token = weights + drafts[1].weights, kv_token + drafts[1].kv_token
        lora_bytes, lora_s = self._lora(part, decode)
        weights += lora_bytes
        memory = None
        if self.options.kv_tokens is None:
            memory = self._footprint(decode, replace(held, weights=weights, kv_token=kv_token))
        kv_tokens = self.options.kv_tokens or (memory.kv_tokens if memory else 0)
        times = self._times(part, rules, held.vocabulary, spread)
        times = with_adapters(times, lora_s)
        if stages is not None:
            times = stages.timed(times, rules.max_num_batched_tokens)
        ahead = self.drafting
        if ahead is not None and drafts is not None:
            ahead = replace(ahead, times=drafts[0])
        block = rules.block_size * part.tp * part.pp
        tiers = tiers_of(
            self.options, self.device, part, round(kv_token * block), self.notes.append
        )
        return Rank(times, memory, kv_tokens, ahead, tiers, lora_bytes, lora_s)

    def _lora(self, part: Part, decode: Graph) -> tuple[float, np.ndarray]:
        """Bytes of the adapters on a rank, and what they add to a step by its tokens.

        Raises:
            InputError: adapters are not modelled with a profile or pipeline stages.
        """
        from lydite.estimate import Rows
        from lydite.estimate.runtimes import RUNTIMES, Launched
        from lydite.serving.estimated import operator_seconds
        from lydite.serving.lora import adapted, adapter_bytes, adapter_s

        if self.adapters is None:
            return 0.0, np.zeros(1)
        if self.options.profile is not None:
            raise InputError("--profile has no times of LoRA's products", hint="without --profile")
        if part.pp > 1:
            raise InputError("--lora is not modelled with pipeline stages", hint="--tp")
        products = adapted(decode, self.adapters.targets)
        if not products:
            raise InputError("the model has no products that LoRA adapts", where=self.label)
        grid = 2 ** np.arange(self.scheduler.max_num_batched_tokens.bit_length() + 1)
        with device_and_sources(self.session, self.device) as (device, sources):
            chain, _ = chain_for(sources, device, Rows(self.runtime.name, 1, "wall", spans={}))
            launched = Launched(chain, RUNTIMES[self.runtime.name])
            added = adapter_s(
                products,
                self.adapters,
                operator_seconds(launched, device),
                device.memory_bandwidth,
                grid,
            )
        by_tokens = np.interp(np.arange(int(grid[-1]) + 1), grid, added)
        by_tokens[0] = 0.0
        return adapter_bytes(products, self.adapters), by_tokens

    def _stages(self, part: Part, decode: Graph) -> Stages | None:
        """How the layers lie on pipeline stages; None without.

        Raises:
            InputError: the runtime's stages are not modelled, or the model has fewer layers.
        """
        from lydite.serving.messages import message_times
        from lydite.serving.stages import stages_of

        if part.pp == 1:
            return None
        if self.runtime.name != "vllm":
            raise InputError(f"--pp is not modelled for {self.runtime.name}", allowed="vllm")
        if self.drafting is not None:
            raise InputError("--draft is not modelled with pipeline stages", hint="--tp")
        if self.options.profile is not None:
            raise InputError("--profile has no times of messages between stages", hint="--tp")
        across = message_times(self.device, part.size, self.notes.append)
        within = message_times(self.device, part.tp, self.notes.append)
        return stages_of(decode, part.pp, part.tp, across, within, self.label)

    def _held(self, decode: Graph) -> Held:
        """What a rank holds, by the graph of 8 decoding sequences."""
        kept = sum(decode.type_of(name).nbytes or 0 for name in decode.outputs[1:])
        kv_token = max(1.0, kept / 8 / self.mean_context)
        return Held(float(decode.parameter_bytes), kv_token, _vocabulary(decode))

    def _drafts(self, part: Part, target: Held) -> tuple[StepTimes, Held] | None:
        """Times of the model that drafts, on as many ranks, and what a rank of it holds.

        Raises:
            InputError: it has another vocabulary, or cannot be divided.
        """
        if self.drafter is None:
            return None
        context = max(2, min(self.mean_context, self.drafter.longest - 8))
        part = Part(1, part.tp)
        held = self.drafter._held(self.drafter._graph("decode", part, 8, context))
        if held.vocabulary != target.vocabulary:
            raise InputError(
                f"--draft {self.options.draft} has a vocabulary of {held.vocabulary:,} tokens, "
                f"{self.label} one of {target.vocabulary:,}",
                hint="a draft model of the same family",
            )
        return self.drafter._times(part, self.scheduler, held.vocabulary, None), held

    def _spread(self, part: Part, whole: Graph) -> Spread:
        """How the experts lie on the devices.

        Raises:
            InputError: the model has none, or not a multiple of the devices.
        """
        from lydite.graph import keys_of
        from lydite.serving.experts import Spread, expert_ops, experts_of, read_load
        from lydite.serving.messages import message_times

        keys = keys_of(whole)
        counts = {experts_of(keys[op.name]) for op in expert_ops(whole)}
        if not counts:
            raise InputError("the model has no experts to spread", where=self.label, hint="--tp")
        for count in counts:
            if count % part.ep:
                raise InputError(
                    f"{count} experts cannot be spread over {part.ep} devices",
                    where=self.label,
                    allowed=f"divisors of {count}",
                )
        load = max(
            read_load(self.options.expert_load, count, part.ep, self.session.seed)
            for count in counts
        )
        messages = message_times(self.device, part.ep, self.notes.append)
        self.notes.append(
            f"experts: {self.options.expert_load} over {part.ep} devices, so that the busiest has "
            f"{load:.2f} times the mean"
        )
        if part.groups > 1:
            self.notes.append(
                f"{part.groups} groups of a replica step together, as vLLM's data-parallel ranks "
                "do: modelled, not compared with its decisions"
            )
        return Spread(part.ep, part.groups, load, messages)

    def _times(
        self, part: Part, rules: Scheduler, vocabulary: int, spread: Spread | None
    ) -> StepTimes:
        if self.options.profile is not None:
            if spread is not None:
                raise InputError("--profile has no times of experts that are spread", hint="--tp")
            return self._profiled(part)
        from lydite.estimate import Rows
        from lydite.estimate.runtimes import RUNTIMES, Launched
        from lydite.serving.estimated import CAPTURED, Shape, estimated_times
        from lydite.serving.messages import message_times

        runtime = RUNTIMES[self.runtime.name]
        tokens = max(rules.max_num_batched_tokens, rules.max_prefill_tokens)
        if rules.policy != "sglang":
            tokens = rules.max_num_batched_tokens
        shape = Shape(
            lambda count, context: self._graph("decode", part, count, context),
            lambda count, context: self._graph("prefill", part, count, context),
            self.longest,
            self.largest,
            vocabulary,
            tokens,
            rules.max_num_seqs,
            CAPTURED,
            lambda count, context: self._graph("decode", Part(), count, context),
            1 + (self.drafting.tokens if self.drafting else 0),
        )
        messages = message_times(self.device, part.tp, self.notes.append)
        with device_and_sources(self.session, self.device) as (device, sources):
            chain, _ = chain_for(sources, device, Rows(self.runtime.name, 1, "wall", spans={}))
            return estimated_times(shape, Launched(chain, runtime), device, messages, spread)

    def _profiled(self, part: Part) -> StepTimes:
        from lydite.serving import read_profile

        assert self.options.profile is not None
        if part.tp > 1 and f"tp{part.tp}" not in self.options.profile.parts:
            self.notes.append(
                f"the profile is taken to be of one of {part.tp} ranks, without their messages"
            )
        graph = self._graph("decode", Part(), 2, 16)
        layers = sum(op.op_type in ("Attention", "GroupQueryAttention") for op in graph.ops)
        return read_profile(self.options.profile, max(1, layers))

    def _graph(self, phase: str, part: Part, count: int, context: int) -> Graph:
        from lydite.cluster import tensor_parallel
        from lydite.estimate.runtimes import RUNTIMES, fuse_for_runtime
        from lydite.graph.passes import with_weights

        decode = phase == "decode"
        sizes = {"batch": count if decode else 1, "sequence": None if decode else count}
        said = {f.name: getattr(self.shape, f.name) for f in fields(ModelOptions)}
        said |= {"phase": phase, "context": context, **sizes}
        shape = RankOptions(**said, kv_ranks=part.tp if self._repeats(part.tp) else None)
        made = resolve(self.model, shape, self.device)
        self.label, self.dtype = made.name, made.dtype
        graph = made.graph
        if self.options.weights is not None:
            graph = with_weights(graph, self.options.weights)
        graph = tensor_parallel(graph, part.tp)
        return fuse_for_runtime(graph, RUNTIMES[self.runtime.name])

    def _repeats(self, ranks: int) -> bool:
        """Whether the model's builder can repeat key and value heads for ranks that lack one."""
        from lydite.models import describe
        from lydite.models.huggingface import read_config

        if ranks == 1:
            return False
        source = self.model.source if isinstance(self.model, Model) else self.model
        if takes_sizes(source):
            return "kv_ranks" in read_config(str(source)).options
        return "kv_ranks" in describe(str(source)).defaults

    def _footprint(self, graph: Graph, held: Held) -> Footprint:
        from lydite.serving.deploy import footprint

        widest = max(
            (graph.type_of(name).nbytes or 0)
            for op in graph.ops
            for name in op.outputs
            if name and name not in graph.outputs
        )
        return footprint(
            self.device,
            self.runtime,
            self.scheduler,
            weights=held.weights,
            kv_token=held.kv_token,
            token_bytes=3 * widest / 8,
            vocabulary=held.vocabulary,
            share=self.options.memory_share,
        )


def with_adapters(times: StepTimes, lora_s: np.ndarray) -> StepTimes:
    """Step times with what adapters add, by tokens."""
    if len(lora_s) == 1:
        return times
    tokens = np.arange(len(times.dense_s))
    return replace(times, dense_s=times.dense_s + np.interp(tokens, np.arange(len(lora_s)), lora_s))


def _switch(name: str, text: str | None) -> bool | None:
    if text not in (None, "on", "off"):
        raise InputError(f"{name} is '{text}'", allowed="on, off")
    return None if text is None else text == "on"


def _vocabulary(graph: Graph) -> int:
    shape = graph.type_of(graph.outputs[0]).shape
    return int(shape[-1]) if shape else 0


def deployer(
    session: Session,
    model: ModelLike,
    options: ServeOptions,
    shape: ModelOptions,
    requests: Requests,
) -> Deployer:
    """What makes replicas of a model for a workload.

    Raises:
        InputError: the device or runtime is unknown, or the model is not built in phases.
    """
    from lydite.serving.deploy import find_serving_runtime

    if not takes_phase(model):
        raise InputError(
            f"{model} is not built in phases, so its prefill and decoding are not known",
            allowed="a language model of the set, or a config.json of Hugging Face",
        )
    for name in ("batch", "phase", "context", "sequence"):
        if getattr(shape, name) is not None:
            raise InputError(f"--{name} follows from the workload", hint="--isl, --osl, --trace")
    runtime = find_serving_runtime(options.runtime)
    tokens = requests.prompt.astype(float) + requests.output / 2
    longest = int((requests.prompt.astype(int) + requests.output).max())
    with device_and_sources(session, options.on) as (device, _):
        pass
    room = _positions(model)
    if longest > room:
        raise InputError(
            f"a request has {longest:,} tokens, the model has {room:,} positions",
            hint="shorter requests, or a model with more positions",
        )
    if options.policy == "priority" and runtime.name != "vllm":
        raise InputError(f"--policy priority is not modelled for {runtime.name}", allowed="vllm")
    made = Deployer(
        session, model, options, shape, device, runtime, max(2, int(tokens.mean())), room, longest
    )
    made.adapters = adapters_of(options, runtime.name)
    made.drafting = drafting_of(options, runtime, session.seed)
    if made.drafting is not None:
        _add_drafter(made, requests)
    if options.policy == "priority" and not np.ptp(requests.priority):
        made.notes.append("--policy priority: all requests have the same priority")
    return made


def _add_drafter(made: Deployer, requests: Requests) -> None:
    """Add the model that drafts, and say what is not known of it."""
    options = made.options
    if options.draft == "ngram":
        made.notes.append(
            "--draft ngram: looking up drafts is taken to cost no time, and to find as many in "
            "each step"
        )
        return
    own = replace(options, draft=None, draft_tokens=None, acceptance=None, profile=None)
    own = replace(own, weights=None, lora=None, adapters=None, lora_share=None, lora_targets=None)
    shape = ModelOptions(dtype=made.shape.dtype)
    made.drafter = deployer(made.session, options.draft, own, shape, requests)
    made.drafter.drafting = made.drafting
    if options.profile is not None:
        made.notes.append(
            "--profile has no times of verification: attention is taken to cost as much as for one "
            "token; the draft model is estimated"
        )


def _positions(model: ModelLike) -> int:
    """Most tokens that the model can hold."""
    from lydite.models import describe
    from lydite.models.huggingface import read_config

    source = model.source if isinstance(model, Model) else model
    if takes_sizes(source):
        return read_config(str(source)).positions or UNLIMITED
    return describe(str(source)).limits["sequence"][1] or UNLIMITED
