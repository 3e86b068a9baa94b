"""`lydite monitor`: watch the devices while a command runs."""

from __future__ import annotations

from typing import Annotated

import typer

from lydite.cli import options, recording, restore_environment

STDERR = 2
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@recording.optional
def monitor(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND...",
            help="Program to run, with its arguments, best after --; without one, only watch.",
        ),
    ] = None,
    interval: Annotated[
        float, options.quantity("--interval", "s", "Seconds from one sample to the next.")
    ] = 0.1,
    duration: Annotated[
        float | None,
        options.quantity(
            "--duration", "s", "Seconds to watch without a command; default: until Ctrl-C."
        ),
    ] = None,
    devices: Annotated[
        str, typer.Option("--devices", help="Devices such as nvidia:0, or sensors, with commas.")
    ] = "",
    sensors: Annotated[
        str,
        typer.Option(
            "--sensors",
            help="Sensors to read, with commas: nvidia, amd, moore_threads, sophgo, powercap, "
            "hwmon, cpu; default: all.",
        ),
    ] = "",
    idle: Annotated[
        float,
        options.quantity(
            "--idle", "s", "Seconds to measure the resting devices before the command.", min=0
        ),
    ] = 0.0,
    prometheus: Annotated[
        int | None,
        typer.Option(
            "--prometheus", min=1, max=65535, help="Port to serve the readings to Prometheus on."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to serve on; others than loopback are open.")
    ] = "127.0.0.1",
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Watch power, energy, use and clocks of the devices while a command runs, or by themselves.

    The exit code is the command's. With --json, what the command prints goes to standard error.
    """
    from lydite.cli.show import deliver, say, session
    from lydite.report.live import live_table

    if prometheus is not None:
        say(f"metrics at http://{host}:{prometheus}/metrics", quiet)
        if host not in LOOPBACK:
            say(f"warning: all who reach {host} on the network can read these figures")
    with live_table(quiet or json) as table:
        restore_environment()
        result = session(quiet=quiet or json).monitor(
            command or (),
            interval=interval,
            duration=duration,
            sensors=_names(sensors),
            devices=_names(devices),
            idle=idle,
            out=out,
            prometheus=prometheus,
            host=host,
            show=table.show if table else None,
            stdout=STDERR if json else table.stdout if table else None,
            stderr=table.stderr if table else None,
        )
    deliver(result, json=json)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
