"""The reference page of the models says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from lydite.graph import total_work
from lydite.models import build_model, describe, model_names

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "models.md"


def test_the_table_of_models_is_true():
    rows = re.findall(r"^\| (\S+) \| (.+?) \| (\d+) \| ([\d,]+) \| ([\d.]+) G \| (.+) \|$",
                      PAGE.read_text(), re.M)  # fmt: skip
    assert sorted(row[0] for row in rows) == model_names()
    for name, default, operators, parameters, giga, source in rows:
        graph, info = build_model(name), describe(name)
        by_type = total_work(graph).by_type
        macs = sum(by_type[t].flops for t in ("Conv", "Gemm", "MatMul") if t in by_type) / 2
        assert len(graph.ops) == int(operators)
        assert graph.parameter_count == int(parameters.replace(",", ""))
        assert f"{macs / 1e9:.3f}" == giga
        assert all(str(value) in default for value in info.defaults.values())
        assert re.search(r"arXiv:[\d.]+\d", source)[0] in info.source
