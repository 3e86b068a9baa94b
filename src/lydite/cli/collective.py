"""`lydite collective`: simulate a single collective on a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options, recording


@recording.optional
def collective(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="Collective: allreduce, allgather, reducescatter, broadcast, alltoall or send.",
        ),
    ],
    size: Annotated[
        str, typer.Option("--bytes", help='Size of the whole tensor, such as "1 GiB".')
    ],
    on: Annotated[
        str, typer.Option("--on", help='Cluster: a name, "NAME x HOSTS", or a .yaml file.')
    ] = "dgx-a100",
    ranks: Annotated[
        int | None,
        typer.Option("--ranks", min=2, help="Number of participating devices; default: all."),
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option("--algorithm", help="Algorithm, such as ring; default: NCCL's choice."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", help="Protocol: LL, LL128 or Simple; default: NCCL's choice."),
    ] = None,
    network: Annotated[
        str,
        typer.Option(
            "--network", help="Network model: closed (closed form) or links (message by message)."
        ),
    ] = "closed",
    db: options.DatabaseTarget = None,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Time one collective on a cluster: bandwidths, algorithm and protocol, limiting link."""
    from lydite.cli.show import deliver, session

    here = session(db, quiet=quiet)
    found = here.collective(
        kind,
        bytes=size,
        on=on,
        ranks=ranks,
        algorithm=algorithm,
        protocol=protocol,
        network=network,
    )
    deliver(found, json=json, out=out)
