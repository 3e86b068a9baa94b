"""What answers the queries of a real run: an engine, a function that says tokens, or a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lydite.api.mlperf.benchmark import Target, data_of
from lydite.api.mlperf.engines import engine_of
from lydite.api.mlperf.scenario import Job
from lydite.errors import InputError
from lydite.graph import read_onnx
from lydite.mlperf.dataset import DataSet, drawn
from lydite.mlperf.devices import devices_of
from lydite.mlperf.engine import EngineSpec
from lydite.mlperf.tokens import TokenService
from lydite.records import dataclass

if TYPE_CHECKING:
    from lydite.api.session import Session

TABLE = "stated.npy"
"""The table of token times that a sleeping system reads."""


@dataclass(frozen=True)
class System:
    """What answers the queries.

    Attributes:
        name: Digest of the engine, or name of the adapter; "" for a table of times.
        told: Where the times come from, for the reader.
        spec: Engine; None where tokens are said.
        adapter: Adapter that says tokens, as the child imports it; "" for none.
        table: Times of tokens to sleep; None for none.
        devices: Devices of the engines; empty for the engine's own.
    """

    name: str
    told: str
    spec: EngineSpec | None = None
    adapter: str = ""
    table: TokenService | None = None
    devices: tuple[str, ...] = ()

    def tokens(self, logs: Path) -> str:
        """What the child is told of tokens; a table is written beside the logs."""
        if self.table is None:
            return self.adapter
        self.table.save(logs / TABLE)
        return str(logs / TABLE)

    def data(self, job: Job, seed: int) -> DataSet | None:
        """The data set of a run, or the samples that are drawn for it; None for a table."""
        data = data_of(job.options)
        if data is not None or self.spec is None:
            return data
        graph = read_onnx(self.spec.path(self.spec.sizes[0]))
        return drawn(graph, max(job.settings["samples"], 1), seed)


def token_type(target: Target) -> str:
    """Element type of tokens in the accuracy log: TEST09's official verifier counts four bytes."""
    is_short = target.row is not None and "TEST09" in target.row.audits
    return "int32" if is_short else "int64"


def system_of(session: Session, job: Job, device: str, table: TokenService | None) -> System:
    """What answers a job's queries; its engine is built where it has to be.

    Raises:
        InputError: a device that is not here, tokens that nobody says, or what an engine refuses.
    """
    target, settings = job.target, job.settings
    if table is not None:
        return System(
            "", f"{table.source}, {settings['workers']} samples at once, slept", table=table
        )
    if settings["tokens"]:
        return _saying(job)
    devices = devices_of(job.options.device) if job.options.device else ()
    kinds = list(dict.fromkeys(name.partition(":")[0] for name in devices)) or [device]
    if len(kinds) > 1:
        raise InputError(
            "devices of several kinds would need several engines",
            where="--device",
            allowed="GPUs alone, or cpu",
        )
    spec, _ = engine_of(session, target, settings, kinds[0], job.options)
    return System(spec.digest, "measured", spec, devices=devices)


def _saying(job: Job) -> System:
    target = job.target
    if target.adapter is None or target.adapter.generate is None:
        raise InputError(
            f"{target.name} counts tokens, and nothing here says any",
            where=job.scenario,
            allowed="an adapter with `generate`, or stated times (--service ttft=...,tpot=...)",
            hint="--adapter package.module:NAME; --service with --real or --virtual",
        )
    if job.options.data is None:
        raise InputError(
            f"{target.name} needs its samples", where=job.scenario, hint="--data FOLDER"
        )
    name = job.options.adapter or target.name
    return System(f"adapter {target.name}", "measured", adapter=name)
