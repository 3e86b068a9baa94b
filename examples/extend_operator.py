"""An operator that Lydite has never heard of, in one file: every facet in one row.

A package ships the row through an entry point instead of `register`:

    [project.entry-points."lydite.operators"]
    mine = "my_package:OPERATORS"
"""

from __future__ import annotations

from collections.abc import Sequence

import lydite as ly
from lydite.graph import Builder
from lydite.graph.operators import Cost, Operator, register
from lydite.graph.operators.call import Call, per_output
from lydite.graph.operators.gradients.call import GradientCall
from lydite.graph.operators.missing import usual
from lydite.graph.operators.operator import Family
from lydite.graph.operators.products import matmul
from lydite.graph.operators.split_products import by_weight
from lydite.graph.operators.typing.contrib import like, standard
from lydite.graph.tensor import Tensor

DOMAIN = "example.org"


def square_work(call: Call) -> Cost:
    """A product, its square, and nothing more: bytes are all inputs and outputs."""
    return Cost(flops=2 * call.shape(1)[0] * call.out_count() + call.out_count())


def square_gradient(call: GradientCall) -> Sequence[Tensor | None]:
    """y = (x w)^2: with u = x w, du = 2 u dy, dx = du w^T and dw = x^T du."""
    u = call.std("MatMul", call.x(0), call.x(1))
    du = call.std("Mul", call.std("Mul", call.number(2.0, u), u), call.dy())
    rows = call.std("Transpose", call.x(0), perm=[1, 0])
    columns = call.std("Transpose", call.x(1), perm=[1, 0])
    return [call.std("MatMul", du, columns), call.std("MatMul", rows, du)]


FAMILY = Family("example", usual(types=like(0)))
OPERATORS: Sequence[Operator] = (
    FAMILY.row(
        f"{DOMAIN}:SquaredMatMul",
        square_work,
        types=standard("MatMul", [0, 1]),
        gradient=square_gradient,
        split=lambda call: by_weight(call, last=1, rows_axis=0),
        array=matmul(),  # an accelerator sees a product of its two inputs
    ),
    FAMILY.row(f"{DOMAIN}:Snap", per_output(3), special=True),
)


def main() -> None:
    """Work, a training step, a chip and a cluster know the operator at once."""
    register(*OPERATORS)
    g = Builder("net", dtype="float16")
    hidden = g.op("SquaredMatMul", g.input("x", (64, 512)), g.weight((512, 512)), domain=DOMAIN)
    net = g.build(g.op("Snap", hidden, domain=DOMAIN))
    print(ly.inspect(net).summary())
    print(ly.chip(net, chip="systolic-128"))
    g = Builder("trained", dtype="float16")
    layer = g.op("SquaredMatMul", g.input("x", (64, 512)), g.weight((512, 512)), domain=DOMAIN)
    step = {"train": True, "loss": "sum", "tp": 2, "devices": 2}
    print(ly.simulate(g.build(layer), on="dgx-h100", **step))


if __name__ == "__main__":
    main()
