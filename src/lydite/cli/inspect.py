"""`lydite inspect`: what a model computes."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lydite.cli import options

if TYPE_CHECKING:
    from lydite.graph import Graph
    from lydite.graph.training import TrainingStep


@options.takes_options
def inspect(
    model: options.Model,
    shape: options.ModelOptions = options.AS_IT_IS,
    ops: Annotated[bool, typer.Option("--ops", help="One line per operator.")] = False,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show a model: operators, shapes, parameters, FLOPs, bytes, arithmetic intensity."""
    from lydite.cli.load import load_step
    from lydite.cli.show import deliver, say
    from lydite.graph.work import total_work, work_of
    from lydite.units import format_bytes, format_si

    plain, step = load_step(model, shape)
    graph = step.graph if step is not None else plain
    work = total_work(graph)
    document: dict[str, Any] = {
        "model": graph.name,
        "operators": len(graph.ops),
        "parameters": plain.parameter_count,
        "parameter_bytes": plain.parameter_bytes,
        "flops": work.total.flops,
        "read_bytes": work.total.bytes_read,
        "written_bytes": work.total.bytes_written,
        "arithmetic_intensity_flop_per_byte": work.total.arithmetic_intensity,
        "unknown_operators": list(work.unknown),
        "inputs": {n: str(graph.type_of(n)) for n in graph.inputs},
        "outputs": {n: str(graph.type_of(n)) for n in graph.outputs},
        "opsets": dict(graph.opsets),
        "open_dims": graph.open_dims,
    }
    per_op = []
    for op in graph.ops:
        own = work_of(op, graph)
        per_op.append(
            {
                "name": op.name,
                "op_type": op.qualified_type,
                "inputs": [str(t) if t else "" for t in graph.input_types(op)],
                "outputs": [str(t) for t in graph.output_types(op)],
                "flops": own.flops if own else None,
                "read_bytes": own.bytes_read if own else None,
                "written_bytes": own.bytes_written if own else None,
                "parameters": own.parameters if own else None,
            }
        )
    document["memory"] = _memory(step if step is not None else graph)
    if step is not None:
        document["training"] = _training(step)
    document["ops"] = per_op
    if deliver("inspect", document, out, as_json=json):
        return
    print(
        f"{graph.name}: {len(graph.ops)} operators, "
        f"{format_si(plain.parameter_count, '')} parameters "
        f"({format_bytes(plain.parameter_bytes)}), {format_si(work.total.flops, 'FLOP')}"
    )
    for label in ("inputs", "outputs"):
        print(_wrapped(f"{label}: {_listed(document[label])}"))
    if document["memory"] is not None:
        print(_wrapped(f"memory: {_memory_line(document['memory'])}"))
    if step is not None:
        print()
        print(_phase_table(document["training"]))
    print()
    print(_op_table(per_op) if ops else _type_table(per_op))
    for name in graph.open_dims:
        say(f"symbolic size '{name}' is open: --dim {name}=SIZE binds it", quiet)
    if work.unknown:
        say(
            f"the work of {len(work.unknown)} operators is unknown: {', '.join(work.unknown[:5])}",
            quiet,
        )


def _wrapped(text: str) -> str:
    from lydite.cli.show import WIDTH

    return fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _listed(types: dict[str, str], most: int = 3) -> str:
    """The first few; a language model's cache is a hundred of them."""
    shown = [f"{name} {type_}" for name, type_ in types.items()][:most]
    rest = len(types) - len(shown)
    return ", ".join(shown) + (f", and {rest} more" if rest else "")


def _memory(what: TrainingStep | Graph) -> dict[str, Any] | None:
    """The peak and what it is made of; None where a size is not known."""
    from lydite.errors import GraphError
    from lydite.graph.training import memory_of

    try:
        found = memory_of(what)
    except GraphError:
        return None
    return {
        "peak_bytes": found.peak_bytes,
        "peak_at": found.names[found.peak_index],
        "at_peak_bytes": found.at_peak,
    }


def _memory_line(memory: dict[str, Any]) -> str:
    from lydite.units import format_bytes

    parts = ", ".join(
        f"{kind} {format_bytes(size)}" for kind, size in memory["at_peak_bytes"].items() if size
    )
    return f"{format_bytes(memory['peak_bytes'])} at most ({parts})"


def _training(step: TrainingStep) -> dict[str, Any]:
    """Loss, optimiser, and the work of each phase."""
    from lydite.graph.training.step import PHASES
    from lydite.graph.work import Work, work_of

    phases: dict[str, Any] = {}
    for phase in PHASES:
        ops = step.ops_of(phase)
        works = [work_of(op, step.graph) for op in ops]
        total = sum((work for work in works if work is not None), Work())
        if ops:
            phases[phase] = {
                "operators": len(ops),
                "flops": total.flops,
                "read_bytes": total.bytes_read,
                "written_bytes": total.bytes_written,
                "unknown": works.count(None),
            }
    return {
        "loss": step.loss,
        "optimizer": step.optimizer,
        "phases": phases,
        "gradients": dict(step.gradients),
    }


def _phase_table(training: dict[str, Any]) -> str:
    from lydite.cli.show import table

    title = f"training step: loss {training['loss']}, optimizer {training['optimizer'] or 'none'}"
    rows = [
        [
            name,
            str(p["operators"]),
            _si(p["flops"], "FLOP"),
            _size(p, "read_bytes"),
            _size(p, "written_bytes"),
        ]
        for name, p in training["phases"].items()
    ]
    return table(title, ["phase", "operators", "work", "read", "written"], rows)


def _op_table(per_op: list[dict[str, Any]]) -> str:
    from lydite.cli.show import table

    rows = [
        [
            op["name"][-28:],
            op["op_type"],
            _shape(op["outputs"]),
            _si(op["flops"], "FLOP"),
            _size(op, "read_bytes"),
            _size(op, "written_bytes"),
            _intensity(op),
        ]
        for op in per_op
    ]
    columns = ["operator", "<type", "<output", "work", "read", "written", "FLOP/B"]
    return table("", columns, rows)


def _type_table(per_op: list[dict[str, Any]]) -> str:
    from lydite.cli.show import table

    kinds: dict[str, dict[str, Any]] = {}
    for op in per_op:
        kind = kinds.setdefault(
            op["op_type"],
            {
                "count": 0,
                "flops": 0.0,
                "read_bytes": 0.0,
                "written_bytes": 0.0,
                "parameters": 0,
                "unknown": 0,
            },
        )
        kind["count"] += 1
        for name in ("flops", "read_bytes", "written_bytes", "parameters"):
            kind[name] += op[name] or 0
        kind["unknown"] += op["flops"] is None
    ordered = sorted(kinds.items(), key=lambda item: -item[1]["flops"])
    rows = [
        [
            name,
            str(k["count"]),
            _known(k, _si(k["flops"], "FLOP")),
            _known(k, _size(k, "read_bytes")),
            _known(k, _size(k, "written_bytes")),
            _si(k["parameters"], ""),
            _known(k, _intensity(k)),
        ]
        for name, k in ordered
    ]
    return table("", ["type", "count", "work", "read", "written", "parameters", "FLOP/B"], rows)


def _known(kind: dict[str, Any], text: str) -> str:
    return (
        "unknown" if kind["unknown"] == kind["count"] else text + ("+" if kind["unknown"] else "")
    )


def _si(value: float | None, unit: str) -> str:
    from lydite.units import format_si

    return "unknown" if value is None else format_si(float(value), unit)


def _size(op: dict[str, Any], name: str) -> str:
    return _si(op[name], "B")


def _intensity(op: dict[str, Any]) -> str:
    if op["flops"] is None:
        return "unknown"
    moved = op["read_bytes"] + op["written_bytes"]
    return f"{op['flops'] / moved:.1f}" if moved else "-"


def _shape(outputs: list[str]) -> str:
    return outputs[0] if outputs else "-"
