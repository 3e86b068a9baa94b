"""Deployments from options: step times, memory and replicas of a model on a device."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lydite.api.devices import device_and_sources
from lydite.api.load import Model, ModelLike, takes_phase, takes_sizes
from lydite.api.options import ModelOptions
from lydite.api.serving.caches import check_kv_dtype
from lydite.api.serving.fleet import most_replicas
from lydite.api.serving.options import ServeOptions
from lydite.api.serving.pictures import Tower, tower_of
from lydite.api.serving.ranks import Rank, made_rank
from lydite.api.serving.speculation import MTP_ACCEPTANCE, OWN_LAYER, check_mtp, drafting_of
from lydite.api.serving.tiers import read_bandwidth
from lydite.api.serving.variants import FLOATS, adapters_of
from lydite.errors import InputError, unknown_name
from lydite.records import dataclass
from lydite.serving.layout import Layout, Part, made_part, read_layout, read_part

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.hardware import Device
    from lydite.serving import (
        Replica,
        Requests,
        Scheduler,
        Speculation,
        Traffic,
    )
    from lydite.serving.deploy import ServingRuntime
    from lydite.serving.lora import Adapters

POLICIES = ("fcfs", "priority")
"""Orders in which requests are served."""
UNLIMITED = 1 << 20
"""Positions of a model that states none."""


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
        mean_prompt: Mean tokens of a prompt.
        drafting: How tokens are drafted ahead, without times; or None.
        drafter: What makes the ranks of the model that drafts, or None.
        adapters: LoRA adapters, or None.
        tower: Vision tower of prompts with images, or None.
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
    mean_prompt: float = 1.0
    notes: list[str] = field(default_factory=list)
    _ranks: dict[tuple[int, int, int], Rank] = field(default_factory=dict)
    label: str = ""
    dtype: str = ""
    packed: str = ""
    drafting: Speculation | None = None
    drafter: Deployer | None = None
    adapters: Adapters | None = None
    tower: Tower | None = None

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
        return self.options.weights or self.packed or self.dtype

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
                    None if part.role == "decode" else rank.tiers,
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
            self._ranks[degrees] = made_rank(self, part)
        return self._ranks[degrees]


def _switch(name: str, text: str | None) -> bool | None:
    if text not in (None, "on", "off"):
        raise InputError(f"{name} is '{text}'", allowed="on, off")
    return None if text is None else text == "on"


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
    made.mean_prompt = float(requests.prompt.mean())
    made.tower = tower_of(made)
    made.adapters = adapters_of(options, runtime.name)
    check_kv_dtype(made)
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
    if options.draft in OWN_LAYER:
        if options.draft == "mtp":
            check_mtp(made.model)
        made.notes.append(
            f"--draft {options.draft}: a layer of the model, a product before it, and the model's "
            "head draft"
        )
        if options.acceptance is None:
            made.notes.append(
                f"--acceptance is taken to be {MTP_ACCEPTANCE:g}, the least that DeepSeek-V3's "
                "report (arXiv 2412.19437) states; give your own"
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
