"""`lydite validate --baseline`: simulated training steps against measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from lydite.cli.options import ModelOptions

if TYPE_CHECKING:
    from lydite.cluster.baseline import Comparison
    from lydite.graph import Graph


def validate_baseline(
    baseline: Path,
    on: str,
    models: Sequence[str],
    shape: ModelOptions,
    constants: Path | None,
    *,
    db: str | None,
    out: Path | None,
    json: bool,
    quiet: bool,
) -> None:
    """Simulate every measured step of the file on the cluster, and show how near that comes.

    Args:
        baseline: AISim's baseline.json.
        on: a cluster with as many devices as the largest baseline.
        models: only these.
        shape: its batch is that of a device; the rest as for `load_model`.
        constants: what `lydite calibrate` wrote.
        db, out, json, quiet: as the command has them.

    Raises:
        InputError: a bad file or cluster, or nothing to compare.
    """
    from lydite.cli.load import chain_for, load_model, open_database
    from lydite.cli.show import deliver, progress_bar
    from lydite.cluster.aisim.folder import read_baselines
    from lydite.cluster.baseline import compare
    from lydite.cluster.constants import ASSUMED, read_constants
    from lydite.errors import InputError
    from lydite.estimate import Rows
    from lydite.hardware.cluster import read_cluster

    measured, cluster = read_baselines(baseline), read_cluster(on)
    batch, optimizer = shape.batch or 1, shape.optimizer or "adam"
    net = replace(shape, train=False, optimizer=None, loss=None)

    def build(model: str) -> Graph:
        return load_model(model, replace(net, batch=batch, phase=_phase(model, shape)))

    with open_database(db) as database, progress_bar("simulate", quiet or json) as progress:
        known = ASSUMED if constants is None else read_constants(constants)
        rows = Rows("torch", 1, "wall")
        estimator, _ = chain_for([database], cluster.device, rows, known.reached)
        try:
            found = compare(
                measured,
                cluster,
                build,
                estimator,
                models=models,
                batch=batch,
                loss=shape.loss,
                optimizer=optimizer,
                constants=known,
                progress=progress,
            )
        except InputError as error:
            raise InputError(
                error.what, where=str(baseline), allowed=error.allowed, hint=error.hint
            ) from error
    setting = {
        "baseline": str(baseline),
        "cluster": cluster.name,
        "device": cluster.device.name,
        "batch_per_device": batch,
        "optimizer": optimizer,
    }
    if deliver("validate", setting | found.to_json(), out, as_json=json):
        return
    print(f"Training steps on {cluster.title}, batch {batch} a device, {optimizer}; simulated")
    print(text(found))


def _phase(model: str, shape: ModelOptions) -> str | None:
    """Language models go forward in training."""
    from lydite.models import describe

    return shape.phase or ("forward" if "phase" in describe(model).defaults else None)


def text(found: Comparison) -> str:
    """What people read."""
    from lydite.cli.aisim import summary
    from lydite.cli.show import signed_percent, table
    from lydite.units import format_seconds

    rows = [
        [
            s.model,
            str(s.devices),
            format_seconds(s.baseline_s),
            format_seconds(s.predicted_s),
            f"{format_seconds(s.low_s)} - {format_seconds(s.high_s)}",
            signed_percent(s.error),
        ]
        for s in found.steps
    ]
    columns = ["model", "devices", "measured", "simulated", "bounds", "error"]
    lines = [table("", columns, rows), summary(found.steps), *found.notes]
    lines += [f"not compared: {reason}" for reason in found.not_compared]
    return "\n\n".join(
        [*lines[:2], "\n".join(fill(line, 100, subsequent_indent="  ") for line in lines[2:])]
    ).rstrip()
