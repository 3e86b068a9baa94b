"""What SCALE-Sim's users bring: equal names, sparse weights, reports, and the chip simulator."""

from __future__ import annotations

import csv

import pytest

import lydite
from lydite.chip import run_chip
from lydite.chip.systolic import Product, products_of
from lydite.errors import InputError
from lydite.graph.formats import read_file

ARCHITECTURE = """[general]
run_name = tiny
[architecture_presets]
ArrayHeight: {size}
ArrayWidth: {size}
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
Bandwidth : 10
Dataflow : {dataflow}
[layout]
IfmapSRAMBankBandwidth: 10
FilterSRAMBankBandwidth: 10
[sparsity]
SparsitySupport : {sparse}
SparseRep : ellpack_block
OptimizedMapping : false
BlockSize : 8
[run_presets]
InterfaceBandwidth: {interface}
"""


@pytest.fixture
def config(tmp_path):
    def _config(size=32, dataflow="ws", sparse="true", interface="CALC"):
        path = tmp_path / f"{dataflow}.cfg"
        path.write_text(
            ARCHITECTURE.format(size=size, dataflow=dataflow, sparse=sparse, interface=interface)
        )
        return str(path)

    return _config


@pytest.fixture
def topology(tmp_path):
    def _topology(*rows):
        path = tmp_path / "layers.csv"
        path.write_text("Layer,M,N,K,\n" + "".join(f"{row},\n" for row in rows))
        return str(path)

    return _topology


def test_layers_of_one_name_are_all_there(config, topology):
    path = topology("fc,128,128,128", "fc,256,256,256")
    rows = lydite.scalesim(path, chip=config()).document()["layers"]
    assert [row["layer"] for row in rows] == ["fc", "fc"]
    alone = lydite.scalesim(topology("fc,256,256,256"), chip=config()).document()["layers"]
    assert rows[1] == alone[0]


SPARSE = ("a,50,40,100,2:4", "b,20,70,67,1:4", "c,9,5,130,1:2", "d,33,64,61,3:8")
SCALESIM = {
    "ws": (
        (575, 33.96739130434783, 48.828125, 13.950892857142854, 10000, 2000, 4000),
        (341, 26.862628299120235, 38.73697916666667, 5.3430316091954015, 4080, 1190, 1400),
        (308, 1.8548346185064934, 10.579427083333332, 0.7105585354477613, 1170, 325, 135),
        (253, 49.72826086956522, 75.0, 15.664556962025317, 4224, 1536, 2112),
    ),
    "os": (
        (447, 43.69407158836689, 48.828125, 21.79827008928572, 5000, 4000, 2256),
        (236, 38.81421610169491, 45.57291666666667, 9.80683016877637, 1020, 1190, 1592),
        (126, 4.534040178571429, 4.39453125, 2.249169537401575, 585, 325, 109),
        (343, 36.68002915451895, 51.5625, 14.38953488372093, 1584, 3072, 2368),
    ),
    "is": (
        (535, 36.507009345794394, 61.03515625, 14.796401515151514, 2500, 4000, 4000),
        (163, 56.19727760736196, 33.203125, 11.919070512820513, 340, 1190, 1400),
        (296, 1.930030616554054, 19.04296875, 0.732421875, 585, 325, 135),
        (315, 39.94047619047619, 38.671875, 13.095238095238093, 792, 3072, 2112),
    ),
}
"""Cycles, utilisation, mapping, compute, and accesses, as SCALE-Sim 3.0.0 reports them."""


@pytest.mark.parametrize("dataflow", ["ws", "os", "is"])
def test_sparse_weights_count_as_scalesim_counts_them(config, topology, dataflow):
    result = lydite.scalesim(topology(*SPARSE), chip=config(dataflow=dataflow))
    for row, expected in zip(result.document()["layers"], SCALESIM[dataflow], strict=True):
        names = ("cycles", "utilisation_percent", "mapping_percent", "compute_percent")
        names += ("ifmap_reads", "filter_reads", "ofmap_writes")
        assert [row[name] for name in names] == pytest.approx(list(expected), rel=1e-6)


def test_without_support_weights_are_dense(config, topology):
    """As in SCALE-Sim, the ratio counts only if the configuration says so."""
    dense, sparse = (
        lydite.scalesim(topology("a,50,40,100,2:4"), chip=config(sparse=text)).document()
        for text in ("false", "true")
    )
    assert dense["cycles"] == 8 * (2 * 32 + 32 + 50 - 2) - 1
    assert sparse["cycles"] == 4 * (2 * 32 + 32 + 50 - 2) - 1


@pytest.mark.parametrize("ratio", ["4:2", "0:4", "2", "a:b", "1:-4"])
def test_a_ratio_that_is_none_is_refused(config, topology, ratio):
    with pytest.raises(InputError, match=r"sparsity .* allowed: N:M, such as 2:4"):
        lydite.scalesim(topology(f"a,4,4,4,{ratio}"), chip=config())


def test_what_is_not_counted_of_sparse_weights_is_refused(config, topology, tmp_path):
    with pytest.raises(InputError, match="sparse weights with limited bandwidth"):
        lydite.scalesim(topology("a,50,40,100,2:4"), chip=config(interface="USER"))
    path = tmp_path / "random.cfg"
    text = ARCHITECTURE.format(size=8, dataflow="ws", sparse="true", interface="CALC")
    path.write_text(text.replace("OptimizedMapping : false", "OptimizedMapping : true"))
    with pytest.raises(InputError, match="random sparsity of each row is not simulated"):
        lydite.scalesim(topology("a,50,40,100,2:4"), chip=str(path))


def test_reports_have_scalesims_columns(config, topology, tmp_path):
    result = lydite.scalesim(topology("a,50,40,100", "b,20,70,67"), chip=config(sparse="false"))
    compute, bandwidth, detail = (
        list(csv.DictReader(path.read_text().splitlines(), skipinitialspace=True))
        for path in result.write_reports(tmp_path)
    )
    rows = result.document()["layers"]
    for at, row in enumerate(rows):
        assert int(compute[at]["LayerID"]) == at
        assert float(compute[at]["Total Cycles"]) == row["cycles"]
        assert float(compute[at]["Mapping Efficiency %"]) == row["mapping_percent"]
        reads = float(detail[at]["SRAM IFMAP Reads"])
        assert reads == row["ifmap_reads"]
        assert float(bandwidth[at]["Avg IFMAP SRAM BW"]) == pytest.approx(reads / row["cycles"])
        assert detail[at]["DRAM OFMAP Writes"] == ""  # not counted, so not 0


def test_a_topology_runs_on_the_chip(config, topology):
    """A 4 x 4 x 4 product on 4 x 4 outputs: 4 + 4 + 4 - 2 cycles."""
    path = topology("g,4,4,4")
    result = lydite.chip(path, chip=config(size=4, dataflow="os"), array_only=True)
    assert result.cycles == pytest.approx(10)
    assert lydite.chip(path, chip=config(size=4, dataflow="os")).cycles > 10
    assert lydite.chip(path, chip="smv").network.macs == 64


def test_convolutions_of_a_topology_keep_their_windows(tmp_path):
    """An image of 9 x 8 under 3 x 2 with stride 2: the last window hangs over."""
    path = tmp_path / "net.csv"
    path.write_text(
        "Layer,a,b,c,d,e,f,g,\nconv,9,8,3,2,5,7,2,\nconv,9,9,3,3,4,1,1,\nDP1,9,9,3,3,6,1,1,\n"
    )
    found = products_of(read_file(path))
    assert list(found.values()) == [
        Product(4 * 4, 3 * 2 * 5, 7),
        Product(7 * 7, 3 * 3 * 4, 1),
        Product(7 * 7, 3 * 3, 1, 6),
    ]
    assert len(found) == 3
    result = run_chip(read_file(path), lydite.chip("lenet5", chip="systolic-32").network.chip)
    assert result.macs == sum(float(product.macs) for product in found.values())
