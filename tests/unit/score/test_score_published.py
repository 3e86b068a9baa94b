"""Published boards: printed means, and the scores that do not follow from the baseline."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from lydite.score.published import cards, mlperf_results, read_table

DATA = Path(os.environ.get("LYDITE_REFERENCE_DATA", "../shared/data")) / "scorecard"


def test_the_printed_device_scores_are_means_of_the_printed_scores():
    for card in cards()["cards"]:
        assert card["mean_of_printed_latency"] == pytest.approx(card["printed_latency"], abs=0.011)
        assert card["mean_of_printed_energy"] == pytest.approx(card["printed_energy"], abs=0.011)


def test_consistent_cards_recompute_to_the_printed_means():
    found = {card["card"]: card for card in cards()["cards"]}
    for name in ("1080ti", "4080s", "sc7", "6700xt", "s80"):
        card = found[name]
        assert card["recomputed_latency"] == pytest.approx(card["printed_latency"], abs=0.02)
        assert card["recomputed_energy"] == pytest.approx(card["printed_energy"], abs=0.02)
    assert found["s80"]["models"] == 10


def test_each_inconsistency_is_listed_and_explained_by_the_other_baseline():
    found = cards()["inconsistent"]
    assert {row["card"] for row in found} == {"2080ti", "7900xtx"}
    assert sum(len(row["differences"]) for row in found) == 44
    for row in found:
        again = row["recomputed"]["rtx-2080-ti-image"]["latency"]
        assert again == pytest.approx(row["printed"]["latency"], rel=1e-4)


def test_a_board_of_mlperf():
    found = mlperf_results("llama2-70b-99.9")
    assert {row["model"] for row in found["rows"]} == {"llama2-70b-99.9"}
    assert len(mlperf_results(None)["rows"]) == 520
    row = next(row for row in found["rows"] if row["unit"] == "token/s" and row["accelerators"] > 1)
    assert row["per_accelerator"] == pytest.approx(row["value"] / row["accelerators"])
    assert "mlcommons.org" in found["source"]


@pytest.mark.skipif(not DATA.is_dir(), reason="LYDITE_REFERENCE_DATA has no scorecard")
@pytest.mark.parametrize(
    ("name", "file", "columns"),
    [
        ("sdu-cards", "cards.csv", {"latency_ms": "latency_ms", "memory_mb": "mean_memory_mb"}),
        ("mlperf-v6.0", "mlperf_v6.0.csv", {"value": "value", "accelerator": "accelerator"}),
    ],
)
def test_the_shipped_facts_are_the_published_ones(name, file, columns):
    with (DATA / file).open(encoding="utf-8", newline="") as lines:
        reference = list(csv.DictReader(lines))
    rows = read_table(name).rows
    assert len(rows) == len(reference)
    for own, other in columns.items():
        assert [row[own] for row in rows] == [row[other] for row in reference]
