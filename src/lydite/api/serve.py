"""`serve`: a language model under load, in virtual time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from typing_extensions import TypedDict

from lydite.api.load import ModelLike
from lydite.api.options import ModelOptions, grouped_options
from lydite.api.serving.figures import DeploymentDocument, deployment_document
from lydite.api.serving.fleet import fleet_of
from lydite.api.serving.options import ServeOptions, WorkloadOptions
from lydite.api.serving.replay import ReplayDocument, replay_document
from lydite.api.serving.search import FoundDocument, searched
from lydite.api.serving.variants import read_variant
from lydite.api.serving.workload import workload_of
from lydite.errors import InputError
from lydite.exhibits import Curve, Exhibit
from lydite.pool import open_pool
from lydite.records import dataclass
from lydite.results import Result

if TYPE_CHECKING:
    from lydite.api.session import Session
    from lydite.serving import Outcome, Replica, Requests, Traffic
    from lydite.serving.fleet import Fleet


MOST_GAPS = 1 << 22
"""Most gaps between tokens that are kept of a deployment (32 MiB), of the first requests."""


_OLD_NAMES = {
    "goodput_s": "goodput_per_s",
    "tokens_s_per_device": "tokens_per_s_per_device",
    "tokens_s_per_user": "tokens_per_s_per_user",
    "throughput.requests_s": "throughput.requests_per_s",
    "throughput.output_tokens_s": "throughput.output_tokens_per_s",
    "throughput.prompt_tokens_s": "throughput.prompt_tokens_per_s",
} | {
    f"{place}.{name}": f"{place}.{name}_s"
    for place in ("figures", "priorities[].figures")
    for name in ("ttft", "tpot", "itl", "latency", "tpot_with_first", "queue")
}
_DEPRECATED = {
    f"deployments[].{old}": f"deployments[].{new}" for old, new in _OLD_NAMES.items()
} | {
    "workload.rate_s": "workload.rate_per_s",
    "found.tried[].rate_s": "found.tried[].rate_per_s",
}


class ServeDocument(TypedDict):
    """A workload on one or more deployments."""

    model: str
    dtype: str
    device: str
    runtime: str
    decides: str
    scheduler: dict[str, Any]
    workload: dict[str, Any]
    deployments: list[DeploymentDocument]
    found: FoundDocument | None
    replay: ReplayDocument | None
    notes: list[str]


@dataclass(frozen=True, eq=False, repr=False)
class ServeResult(Result):
    """A language model under load.

    Attributes:
        served: The document.
        outcomes: What happened to each request, by deployment.
    """

    verb = "serve"
    deprecated: ClassVar[Mapping[str, str]] = _DEPRECATED
    exhibits = (
        Exhibit(
            "Deployments",
            "/deployments",
            {
                "layout": "layout",
                "weights": "weights",
                "devices": "devices",
                "figures.ttft_s.p50": "TTFT at 50 %",
                "figures.ttft_s.p99": "TTFT at 99 %",
                "figures.tpot_s.p50": "TPOT at 50 %",
                "figures.tpot_s.p99": "TPOT at 99 %",
                "tokens_per_s_per_device": "tokens/s a device",
                "tokens_per_s_per_user": "tokens/s a user",
                "met": "objectives met",
                "cost.usd_per_hour": "USD an hour",
            },
            {"met": True},
            curve=Curve(
                "tokens_per_s_per_user",
                {"tokens_per_s_per_device": "points"},
                front="max-max",
            ),
        ),
    )

    served: ServeDocument
    outcomes: tuple[Outcome, ...]

    def document(self) -> ServeDocument:
        """All figures."""
        return self.served

    def summary(self) -> str:
        """Deployments, figures, reasons."""
        from lydite.report.text.serve import serve_text

        return serve_text(self.served)

    def headline(self) -> str:
        """Model, device, and the answer."""
        from lydite.report.text.serve import headline

        return headline(self.served)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row per deployment."""
        return [
            {
                "layout": row["layout"],
                "devices": row["devices"],
                **{
                    f"{name.removesuffix('_s')}_{at}_s": value
                    for name, cuts in row["figures"].items()
                    for at, value in cuts.items()
                },
                **row["throughput"],
            }
            for row in self.served["deployments"]
        ]

    def requests(self, deployment: int = 0) -> list[dict[str, Any]]:
        """One row per request of a deployment."""
        outcome = self.outcomes[deployment]
        names = outcome.requests.ids or [str(n + 1) for n in range(len(outcome.requests))]
        return [
            {
                "request": name,
                "arrived_s": float(outcome.arrived_s[n]),
                "prompt": int(outcome.requests.prompt[n]),
                "output": int(outcome.requests.output[n]),
                "cached": max(0, int(outcome.hits[n])),
                "preempted": int(outcome.preempted[n]),
                **({"retried": int(outcome.retried[n])} if outcome.failures else {}),
                "replica": int(outcome.replica[n]) + 1,
                "ttft_s": float(outcome.ttft_s[n]),
                "tpot_s": float(outcome.tpot_s[n]),
                "latency_s": float(outcome.latency_s[n]),
            }
            for n, name in enumerate(names)
        ]

    def itls_s(self, deployment: int = 0) -> list[list[float] | None]:
        """Gaps between the tokens of each request of a deployment, in seconds.

        Tokens that come together, as with speculation, have no gap between them. At most 4,194,304
        gaps are kept, of the first requests; None for those after them.
        """
        outcome = self.outcomes[deployment]
        kept = (outcome.itls_s(n) for n in range(len(outcome.requests)))
        return [None if gaps is None else gaps.tolist() for gaps in kept]

    def write_report(self, path: Path | str) -> Path:
        """Write an HTML page: deployments, what they trade, and how latencies spread."""
        from lydite.report.serve import write_serve_page

        return write_serve_page(self.served, self.outcomes, path)

    def write(self, folder: Path) -> list[Path]:
        """Write serve.json and, for each deployment, its requests as a table and as vLLM's file."""
        import csv
        import io
        import json

        from lydite.files import write_atomic
        from lydite.serving.bench_written import vllm_result

        made = [write_atomic(folder / "serve.json", json.dumps(self.to_dict(), indent=1) + "\n")]
        for number, outcome in enumerate(self.outcomes):
            rows = self.requests(number)
            text = io.StringIO()
            table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
            suffix = "" if number == 0 else f"-{number + 1}"
            made.append(write_atomic(folder / f"requests{suffix}.csv", text.getvalue()))
            layout = self.served["deployments"][number]["layout"]
            bench = vllm_result(outcome, self.served["model"], self.served["runtime"], layout)
            text_of_bench = json.dumps(bench, allow_nan=False) + "\n"
            made.append(write_atomic(folder / f"vllm-bench{suffix}.json", text_of_bench))
        return made


class _Deployed(NamedTuple):
    """Requests and what serves them."""

    requests: Requests
    replicas: Sequence[Replica]
    traffic: Traffic
    fleet: Fleet | None


def _played(_: None, deployed: _Deployed) -> Outcome:
    from lydite.serving import simulate_serving

    return simulate_serving(*deployed, gaps=MOST_GAPS)


def serve(
    session: Session,
    model: ModelLike,
    *,
    slo: str | Sequence[str] = (),
    find: str | None = None,
    compare: str | Sequence[str] = (),
    gpus: int | None = None,
    ray: str | None = None,
    options: ModelOptions | None = None,
    serving: ServeOptions | None = None,
    workload: WorkloadOptions | None = None,
    **given: Any,
) -> ServeResult:
    """Serve a language model to a workload, in virtual time.

    The scheduler of the runtime is played step by step; the time of a step comes from the
    estimators (or from a profile of the same device). No GPU is needed.

    Args:
        session: Session whose database holds measurements of operators.
        model: Language model: a name of the set, or a config.json of Hugging Face or its folder.
        slo: Objectives, such as "ttft.p99=600ms,tpot.p90=16ms".
        find: "gpus" for the fewest devices that meet the objectives, "rate" for the greatest rate
            that does, "config" for the best layout of `gpus` devices.
        compare: Layouts to compare, such as "tp2x4,tp4x2,pd2:6"; with other weights as
            "tp2:fp8,tp4:bf16".
        gpus: Number of devices of `find="config"`.
        ray: Ray cluster that plays the layouts of `compare` and `find="config"`; see
            `lydite.pool.open_pool`.
        options, serving, workload: Groups of options.
        given: Fields of `ModelOptions`, `ServeOptions` and `WorkloadOptions`.

    Raises:
        InputError: the model is no language model or does not fit (says by how much), an option,
            trace or objective is invalid, no rate meets the objectives (says the best possible), or
            the Ray cluster cannot be used.
    """
    from lydite.serving.metrics import read_objectives

    deploy, load, net = grouped_options(
        given, (ServeOptions, serving), (WorkloadOptions, workload), (ModelOptions, options)
    )
    objectives = read_objectives(slo) if slo else ()
    if find is not None and compare:
        raise InputError("--find and --compare are two questions", hint="ask one of them")
    if gpus is not None and find != "config":
        raise InputError("--gpus has no effect here", hint="add --find config")
    if ray is not None and not compare and find != "config":
        raise InputError("--ray has no effect here", hint="add --compare or --find config")
    source = workload_of(load, session.seed, searching=find in ("rate", "config"))
    measured, requests = source.measured, source.requests
    from lydite.api.serving.deployment import deployer as deployer_for

    made = deployer_for(session, model, deploy, net, requests)
    found, layouts, makers = None, [], [made]
    with open_pool(ray, jobs=1) as pool:
        if find is not None:
            found, best = searched(made, source, objectives, find, gpus, pool)
            layouts = [best]
        elif compare:
            from lydite.serving.layout import read_layout

            words = compare.split(",") if isinstance(compare, str) else compare
            wanted = [read_variant(each) for each in words]
            layouts = [(read_layout(each, deploy.tp), requests) for each, _ in wanted]
            variants = {word: made.variant(word) for _, word in wanted}
            makers = [variants[word] for _, word in wanted]
        else:
            layouts = [(made.layout(), requests)]
        is_alone = find is None and not compare
        served = [
            (played, maker.replicas(at), maker.traffic(at))
            for maker, (at, played) in zip(makers, layouts, strict=True)
        ]
        deployed = [
            _Deployed(*each, fleet_of(deploy, each[1], is_alone=is_alone)) for each in served
        ]
        outcomes = pool.ordered(_played, None, deployed)
    rows = [
        deployment_document(maker, layout, each.replicas, outcome, objectives)
        for maker, (layout, _), each, outcome in zip(
            makers, layouts, deployed, outcomes, strict=True
        )
    ]
    replayed = None
    if measured is not None and outcomes:
        replayed = replay_document(measured, outcomes[0])
    rules = made.scheduler
    document: ServeDocument = {
        "model": makers[0].label,
        "dtype": makers[0].dtype,
        "device": made.device.name,
        "runtime": made.runtime.name,
        "decides": made.runtime.says,
        "scheduler": {**vars(rules), "source": made.runtime.source},
        "workload": {
            "name": requests.name,
            "origin": requests.origin,
            "requests": len(requests),
            "rate_per_s": requests.rate if requests.rate != float("inf") else None,
            "concurrency": requests.concurrency,
            "prompt_mean": float(requests.prompt.mean()),
            "output_mean": float(requests.output.mean()),
        },
        "deployments": rows,
        "found": found,
        "replay": replayed,
        "notes": list(dict.fromkeys([*requests.notes, *made.notes])),
    }
    return ServeResult(document, tuple(outcomes))
