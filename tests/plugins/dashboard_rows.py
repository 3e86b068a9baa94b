"""A database with something of everything, for the tests of the dashboard."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

import numpy as np

from lydite.exhibits import Curve, Exhibit
from lydite.opkey import Operand, OpKey, TensorType
from lydite.store import Conditions, Database, Measurement, Run, Software

TOKEN = "a-token-of-the-tests"
EVIL = "<script>alert('x')</script>\x1b[31m\u202e\"&amp;"
SOFTWARE = Software("onnxruntime", {"onnxruntime": "1.23.2", EVIL: "1"})


@dataclass(frozen=True)
class Filled:
    """Names of what the database holds."""

    path: str
    first: str
    second: str
    going_on: str
    document: str
    declared: str
    evil: str
    measured: str
    failed: str


def key(number: int, op_type: str = "Add") -> OpKey:
    shape = TensorType("float32", (64, 8 + number))
    return OpKey(op_type, (Operand(shape), Operand(shape, const=True)), (shape,))


def rows(run: str, device: str, scale: float, count: int, seed: int) -> list[Measurement]:
    rng = np.random.default_rng(seed)
    return [
        Measurement(
            key(number, ("Add", "Mul", "Relu")[number % 3]),
            device,
            SOFTWARE,
            Conditions(),
            1e-5 * (1 + number) * scale * rng.lognormal(0, 0.01, 20),
            environment={"load_average": 0.5, "nested": {"clock_hz": 3e9}},
            run=run,
        )
        for number in range(count)
    ]


DOCUMENT = {
    "schema": "lydite/new_verb/1",
    "step_s": 0.0125,
    "title": EVIL,
    "nothing": None,
    "fits": True,
    "plan": {
        "tensor": 8,
        "pipeline": 2,
        "deep": {"deeper": {"deepest": {"bottom": [1, {"a": 1}]}}},
    },
    "designs": [
        {
            "name": f"design {n}",
            "step_s": 0.01 + 0.001 * n,
            "cost_usd": 100.0 - n,
            "ops": [{"x": n}],
        }
        for n in range(120)
    ],
    EVIL: {EVIL: EVIL},
}
DECLARED = {
    "schema": "lydite/another_verb/1",
    "device": EVIL,
    "confidence": 0.9,
    "verdicts": [{"rule": EVIL, "met": False}, {"rule": "duration", "met": True}],
    "sweeps": [
        {
            "vary": "threads",
            "values": [1, 2, 4, 8, 16],
            "seconds": [8.0, 4.1, 2.2, 1.9, 1.9],
            "fitted_s": [8.0, 4.0, 2.0, 2.0, 2.0],
            "knee": 4,
            "low": 2,
            "high": 8,
        }
    ],
    "exhibits": [
        Exhibit(
            "Verdicts of {device}",
            "/verdicts",
            {"rule": "rule", "met": "met"},
            {"met": True},
            beside="met",
            label="/device",
        ).document(),
        Exhibit(
            "Seconds by {vary}",
            "/sweeps/*",
            {"values": "{vary}", "seconds": "seconds", "fitted_s": "fitted"},
            curve=Curve(
                "values",
                {"seconds": "points", "fitted_s": "line"},
                mark="knee",
                low="low",
                high="high",
            ),
        ).document(),
    ],
}
"""A result that says which tables and charts of it to show."""


def fill(path: str) -> Filled:
    runs = {
        "first": Run("profile", {"model": "lenet5"}, status="done", result={"a_s": 1.0}),
        "second": Run("profile", {"model": "lenet5"}, status="done", result={"a_s": 2.0}),
        "going_on": Run("bench", {"model": "resnet50"}),
        "document": Run("search", {"gpus": 8}, status="done", result=DOCUMENT),
        "declared": Run("another_verb", {}, status="done", result=DECLARED),
        "evil": Run(EVIL, {EVIL: EVIL}, id=f"{EVIL}/../..?#", status="failed"),
    }
    with Database.open(path) as database:
        database.load(runs.values())
        first = rows(runs["first"].id, "cpu", 1.0, 230, 0)
        failed = Measurement(
            key(3),
            EVIL,
            SOFTWARE,
            Conditions(),
            np.array([]),
            status="crash",
            error=EVIL,
            run=runs["evil"].id,
        )
        database.add(first)
        database.add(rows(runs["second"].id, "nvidia-l4", 1.2, 200, 1))
        database.add(rows(runs["going_on"].id, "cpu", 1.0, 3, 2))
        database.add([failed])
    ids = {name: run.id for name, run in runs.items()}
    return Filled(path=path, **ids, measured=first[0].id, failed=failed.id)


def text_of(html: str) -> str:
    """What people read of a page."""
    html = re.sub(r"<script.*?</script>|<style.*?</style>", "", html, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())
