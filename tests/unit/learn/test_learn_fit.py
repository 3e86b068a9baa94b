"""Reading of rows, fitting, and what is left out."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

import lydite as ly
from lydite.errors import InputError
from lydite.estimate.learned.model import read_model
from lydite.estimate.learned.products import float32_products
from lydite.estimate.learned.sheet import sheet_of
from lydite.hardware import find_device
from lydite.learn.neusight import NEUSIGHT
from lydite.learn.read import read_rows

DEVICES = ("Tesla V100-PCIE-32GB", "Tesla T4", "NVIDIA A100-PCIE-40GB")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Products that take 1.3 times the base time of their device, in NeuSight's layout."""
    home = tmp_path_factory.mktemp("neusight")
    draw = np.random.default_rng(0)
    for split, count in (("train", 300), ("test", 100)):
        for kind in ("linear", "bmm"):
            for device in DEVICES:
                b, m, n, k = draw.integers(64, 2048, (4, count)).astype(float)
                b = b * 0 + (1 if kind == "linear" else 4)
                sheet = sheet_of(find_device(NEUSIGHT[device]), "float32")
                base_s = float32_products(b, m, k, n, sheet).base_s
                folder = home / split / kind
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{device.replace(' ', '_')}.csv.gz"
                with gzip.open(path, "wt", newline="") as lines:
                    writer = csv.writer(lines)
                    writer.writerow(["OPName", "Latency", "Device", "B", "M", "N", "K"])
                    for row in zip(b, m, n, k, 1.3e3 * base_s, strict=True):
                        writer.writerow([kind, row[4], device, *row[:4]])
        for kind in ("elem", "ln", "softmax"):
            with gzip.open(home / split / f"{kind}.csv.gz", "wt") as lines:
                lines.write("OPName,Latency,Device,B,H\n")
    return home


def test_the_reduction_of_neusights_rows_runs_over_n(folder):
    (rows, *_) = read_rows({"neusight": folder}, ["product32"])
    assert rows.device == "nvidia-a100-pcie-40gb"
    assert len(rows.seconds) == 2 * 400
    np.testing.assert_allclose(rows.seconds / rows.problem.base_s, 1.3)


def test_a_constant_factor_is_learned_and_carries_to_a_device_that_was_left_out(folder):
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    found = {row["device"]: row for row in ly.learn_evaluate(neusight=folder).rows()}
    for row in found.values():
        assert row["mean"] < 0.01
        assert row["physics"] == pytest.approx(1 - 1 / 1.3, abs=1e-6)
        assert row["rank"] > 0.999


def test_fitting_twice_gives_the_same_bytes(folder, tmp_path):
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    for name in ("one", "two"):
        ly.learn_fit(tmp_path / name, neusight=folder)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert read_model(tmp_path / "one").families["product32"].rows == 3 * 800


def test_what_cannot_be_learned_from(folder, tmp_path):
    with pytest.raises(InputError, match="no rows"):
        ly.learn_evaluate()
    with pytest.raises(InputError, match="no such folder"):
        ly.learn_evaluate(neusight=tmp_path / "nothing")
    with pytest.raises(InputError, match="is no layout"):
        read_rows({"other": folder})
    broken = tmp_path / "broken" / "train" / "linear"
    broken.mkdir(parents=True)
    with gzip.open(broken / "a.csv.gz", "wt") as lines:
        lines.write("OPName,Latency,Device,B,M,N\nlinear,1,Tesla T4,1,2,3\n")
    with pytest.raises(InputError, match="lacks a number: 'K'"):
        read_rows({"neusight": tmp_path / "broken"}, ["product32"])
