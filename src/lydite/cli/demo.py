"""`lydite demo`: the main workflow from measurement to report, in at most two minutes."""

from __future__ import annotations

from pathlib import Path

from lydite.cli import options, recording


@recording.always
def demo(
    out: options.Out = None,
    budget: options.Budget = 16.0,
    db: options.DatabaseTarget = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure a large CNN, a depthwise CNN and a transformer; predict each from its operators."""
    from lydite.cli.show import deliver, say, session

    here, hush = session(db, seed=seed, quiet=quiet or json), quiet or json
    cpu = here.doctor().findings["cpu"]
    say(f"This machine: {cpu['title']}, {cpu['units']} cores, one of which is measured.", hush)
    result = here.demo(out=out or Path("lydite-demo"), budget=budget)
    deliver(result, json=json)
    say(
        f"took {result.elapsed_s:.0f} s\n\n"
        "Next: lydite inspect resnet50        what a model computes\n"
        "      lydite predict resnet50 --on h100   a device you do not own\n"
        "      lydite profile your.onnx            measure your own model's operators\n"
        "      lydite runs                         everything that was run",
        hush,
    )
