"""The page of served deployments."""

from __future__ import annotations

import json
import re

import pytest

import lydite as ly
from lydite.report.serve import on_front

CONFIG = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 512,
    "max_position_embeddings": 4096,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "<b>net"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    given = {"on": "h100", "rate": 50.0, "requests": 100, "isl": 200, "osl": 20}
    return ly.serve(folder, compare="tp1x2,tp2,pd1:1", price=2.0, carbon=500.0, **given)


def test_the_page_holds_every_deployment_with_its_figures(served, tmp_path):
    page = served.write_report(tmp_path / "page.html").read_text()
    rows = served.served["deployments"]
    table = page[page.index(">Deployments") : page.index(">Time to first token")]
    for row in rows:
        line = re.search(rf"<tr><th[^>]*>{re.escape(row['layout'])}</th>(.*?)</tr>", table)
        assert line is not None
        assert f">{row['tokens_per_s_per_device']:,.0f}</td>" in line[1]
        assert f">{row['cost']['usd_per_hour']:.4g}</td>" in line[1]
    assert "<b>net" not in page
    assert "&lt;b&gt;net" in page
    assert "<script" not in page


def test_carbon_follows_from_energy(served):
    for row in served.served["deployments"]:
        cost = row["cost"]
        grams = cost["modelled_j_per_output_token"] * 1e6 / 3.6e6 * 500
        assert cost["modelled_gco2_per_million_output_tokens"] == pytest.approx(grams)


def test_the_front_is_what_nothing_beats():
    points = [(1, 5), (2, 4), (2, 3), (3, 1), (1, 5), (0, 0)]
    rows = [{"tokens_per_s_per_device": x, "tokens_per_s_per_user": y} for x, y in points]
    assert on_front(rows) == [True, True, False, True, True, False]
