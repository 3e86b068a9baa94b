"""Tables that others publish: small ones in each layout, and what is wrong with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lydite.errors import InputError
from lydite.opkey import OpKey
from lydite.store import Conditions, Database, Measurement, Software, import_path
from lydite.store.foreign import version_order
from lydite.store.foreign.forms import Pattern, named, product
from lydite.store.rows import ForeignRows

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def parquet(path: Path, **columns) -> Path:
    from pyarrow import parquet as writer

    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write_table(pyarrow.table(columns), path)
    return path


def csv_gz(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.strip().encode() + b"\n"))
    return path


def gemm(folder: Path, version: str = "0.24.0", *, name: str = "vllm", **changed) -> Path:
    columns = {
        "kernel_source": ["cublas"] * 2,
        "gemm_dtype": ["bfloat16", "fp8"],
        "m": [512, 16],
        "n": [1024, 64],
        "k": [4096, 128],
        "latency": [0.02, 0.004],
    }
    where = folder / "h100_sxm" / "gemm" / name / version / "gemm_perf.parquet"
    return parquet(where, **(columns | changed))


def imported(folder: Path, kind: str = "aiconfigurator"):
    """The counts of an import into a new database, and all its rows."""
    with Database.in_memory() as database:
        counts = import_path(database, folder, kind)
        return counts, list(database.query())


def by_text(rows) -> dict[str, float]:
    return {row.key.text: row.median_s for row in rows}


def test_products_in_milliseconds_of_named_software(tmp_path):
    gemm(tmp_path)
    counts, rows = imported(tmp_path)
    assert by_text(rows) == {
        product("bfloat16", 512, 4096, 1024).text: pytest.approx(2e-5),
        product("float8e4m3fn", 16, 128, 64, out="bfloat16").text: pytest.approx(4e-6),
    }
    assert {row.device for row in rows} == {"nvidia-h100-sxm5-80gb"}
    assert {row.software for row in rows} == {Software("vllm", {"vllm": "0.24.0"})}
    assert {row.source for row in rows} == {"imported:aiconfigurator"}
    assert {row.environment["kernel"] for row in rows} == {"cublas"}
    assert counts.read == {"gemm_perf": 2}
    assert counts.added["measurements"] == 2
    assert not counts.skipped


def test_a_product_is_that_of_a_model():
    assert product("bfloat16", 512, 4096, 1024).text == (
        '{"attrs":{},"domain":"","inputs":["bfloat16[512,4096]","const bfloat16[4096,1024]"],'
        '"op":"MatMul","outputs":["bfloat16[512,1024]"],"version":13}'
    )


def test_the_newest_version_and_the_fastest_kernel_stay(tmp_path):
    for version, ms in (("0.9.2", 1.0), ("0.24.0", 2.0), ("0.14.0", 0.5)):
        gemm(tmp_path, version, latency=[ms, ms])
    gemm(
        tmp_path,
        "0.8.0",
        gemm_dtype=["bfloat16"] * 2,
        m=[512, 512],
        n=[7, 7],
        k=[9, 9],
        latency=[0.3, 0.2],
        kernel_source=["slow", "fast"],
    )
    counts, rows = imported(tmp_path)
    assert counts.duplicates == 5
    times = {row.key.text: (row.median_s, row.environment["kernel"]) for row in rows}
    assert times[product("bfloat16", 512, 4096, 1024).text] == (2e-3, "cublas")
    assert times[product("bfloat16", 512, 9, 7).text] == (pytest.approx(2e-4), "fast")


def test_frameworks_never_mix(tmp_path):
    gemm(tmp_path)
    gemm(tmp_path, "0.5.14", name="sglang", latency=[0.03, 0.005])
    counts, rows = imported(tmp_path)
    assert counts.duplicates == 0
    assert len(rows) == 4
    assert {row.software.backend for row in rows} == {"vllm", "sglang"}


def test_importing_again_adds_nothing(tmp_path):
    gemm(tmp_path)
    with Database.in_memory() as database:
        import_path(database, tmp_path, "aiconfigurator")
        again = import_path(database, tmp_path, "aiconfigurator")
        assert again.added["measurements"] == 0
        assert again.known == 2


def test_versions_in_order():
    texts = ["0.9.1", "0.14.0", "1.3.0rc3", "1.3.0rc20", "1.3.0", "2.0"]
    assert sorted(texts, key=version_order)[:2] == ["0.9.1", "0.14.0"]
    assert version_order("1.3.0rc20") > version_order("1.3.0rc3")


def attention(folder: Path, table: str, **changed) -> Path:
    columns = {
        "kernel_source": ["fa3"],
        "batch_size": [4],
        "isl": [1024],
        "num_heads": [32],
        "num_key_value_heads": [8],
        "head_dim": [128],
        "window_size": [0],
        "attn_dtype": ["bfloat16"],
        "kv_cache_dtype": ["bfloat16"],
        "step": [0],
        "latency": [1.0],
    }
    where = folder / "h100_sxm" / "attention" / "vllm" / "0.24.0" / f"{table}.parquet"
    return parquet(where, **(columns | changed))


def only_key(folder: Path) -> OpKey:
    _, rows = imported(folder)
    (row,) = rows
    return row.key


def test_attention_of_a_prompt(tmp_path):
    attention(tmp_path, "context_attention_perf")
    key = only_key(tmp_path)
    assert [str(operand) for operand in key.inputs] == [
        "bfloat16[4,1024,4096]",
        "bfloat16[4,1024,1024]",
        "bfloat16[4,1024,1024]",
    ]
    assert key.attrs == {"is_causal": 1, "q_num_heads": 32, "kv_num_heads": 8}


def test_no_heads_of_keys_are_as_many_as_heads(tmp_path):
    attention(tmp_path, "context_attention_perf", num_key_value_heads=[0])
    key = only_key(tmp_path)
    assert key.attrs["kv_num_heads"] == 32
    assert str(key.inputs[1]) == "bfloat16[4,1024,4096]"


def test_a_window_counts_where_it_cuts(tmp_path):
    attention(tmp_path, "context_attention_perf", window_size=[128])
    assert only_key(tmp_path).attrs["window"] == 128
    attention(tmp_path, "context_attention_perf", window_size=[8192])
    assert "window" not in only_key(tmp_path).attrs


def test_attention_of_a_token_over_an_fp8_cache(tmp_path):
    attention(tmp_path, "generation_attention_perf", isl=[1], step=[511], kv_cache_dtype=["fp8"])
    key = only_key(tmp_path)
    assert [str(operand) for operand in key.inputs[3:]] == [
        "",
        "float8e4m3fn[4,8,511,128]",
        "float8e4m3fn[4,8,511,128]",
    ]
    assert str(key.outputs[1]) == "float8e4m3fn[4,8,512,128]"


def test_experts_and_what_no_operator_describes(tmp_path):
    count = 4
    parquet(
        tmp_path / "h100_sxm/moe/vllm/0.24.0/moe_perf.parquet",
        kernel_source=["triton"] * count,
        moe_dtype=["bfloat16", "bfloat16", "w4a16_mxfp4", "bfloat16"],
        num_tokens=[64] * count,
        hidden_size=[4096] * count,
        inter_size=[14336] * count,
        topk=[2] * count,
        num_experts=[8] * count,
        moe_tp_size=[2] * count,
        moe_ep_size=[1, 1, 1, 8],
        distribution=["balanced", "power_law_1.2", "balanced", "balanced"],
        latency=[1.0] * count,
    )
    counts, rows = imported(tmp_path)
    loads = {row.key.attrs.get("load") for row in rows}
    assert loads == {None, "power_law_1.2"}
    assert {str(row.key.inputs[2]) for row in rows} == {"const bfloat16[8,14336,4096]"}
    assert counts.skipped == {
        ("moe_perf", "one rank's share of experts (moe_ep_size > 1)"): 1,
        ("moe_perf", "experts in 'w4a16_mxfp4'"): 1,
    }


def test_messages_count_elements(tmp_path):
    parquet(
        tmp_path / "h100_sxm/comm/nccl/2.27.3/nccl_perf.parquet",
        op_name=["all_reduce", "all_gather"],
        nccl_dtype=["half", "int8"],
        num_gpus=[8, 8],
        message_size=[1024, 1024],
        latency=[0.01, 0.01],
    )
    _, rows = imported(tmp_path)
    found = {row.key.op_type: str(row.key.inputs[0]) for row in rows}
    assert found == {"AllReduce": "float16[1024]", "AllGather": "int8[128]"}
    assert all(row.key.attrs == {"size": 8} and row.key.domain == "lydite" for row in rows)


def test_unsound_rows_are_counted(tmp_path):
    gemm(
        tmp_path,
        gemm_dtype=["bfloat16"] * 6,
        kernel_source=["x"] * 6,
        m=[1, 2, 3, 4, 0, 6],
        n=[64] * 6,
        k=[64] * 6,
        latency=[-1.0, 0.0, float("nan"), float("inf"), 0.1, 0.1],
    )
    counts, rows = imported(tmp_path)
    assert len(rows) == 1
    assert sorted(counts.skipped.values()) == [1, 4]
    assert {table for table, _ in counts.skipped} == {"gemm_perf"}


def test_times_in_other_units_are_refused(tmp_path):
    path = gemm(tmp_path, m=[8192, 8192], n=[8192, 8000], k=[8192, 8192], latency=[1.5, 1.5e-3])
    with pytest.raises(InputError, match="1 of 1 rows are faster than any device") as caught:
        imported(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda path: path.write_bytes(b"PAR1" + b"x" * 50), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "cannot be read"),
        (lambda path: parquet(path, m=[1]), "lacks the column 'n'"),
        (
            lambda path: parquet(
                path, m=[1], n=[1], k=[1], gemm_dtype=["bfloat16"], latency_us=[1.0]
            ),
            "lacks the column 'latency', but has 'latency_us'",
        ),
        (
            lambda path: parquet(
                path, m=["a"], n=[1], k=[1], gemm_dtype=["bfloat16"], latency=[1.0]
            ),
            "cannot be read",
        ),
    ],
)
def test_damaged_tables_are_one_error(tmp_path, break_it, words):
    path = gemm(tmp_path)
    break_it(path)
    with pytest.raises(InputError, match=words) as caught:
        imported(tmp_path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_table_is_there_completely_or_not_at_all(tmp_path):
    gemm(tmp_path)
    broken = gemm(tmp_path, "0.9.0")
    broken.write_bytes(b"PAR1")
    with Database.in_memory() as database:
        with pytest.raises(InputError):
            import_path(database, tmp_path, "aiconfigurator")
        assert not list(database.query())


@pytest.mark.parametrize("kind", ["aiconfigurator", "frontier", "neusight", "vidur"])
def test_the_wrong_folder(tmp_path, kind):
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=f"(?i)holds no table of {kind}") as caught:
        imported(tmp_path, kind)
    assert str(caught.value).lower().startswith(str(tmp_path).lower())
    with pytest.raises(InputError, match="is not a folder"):
        imported(tmp_path / "notes.csv", kind)
    with pytest.raises(InputError, match="no such file"):
        imported(tmp_path / "none", kind)


def test_unknown_systems_are_named(tmp_path):
    gemm(tmp_path)
    other = tmp_path / "z9000" / "gemm" / "vllm" / "0.24.0" / "gemm_perf.parquet"
    parquet(other, m=[1])
    counts, _ = imported(tmp_path)
    assert counts.ignored == {"unknown system": 1}


NEUSIGHT = """
OPName,Latency,Device,Kernel Name,B,M,N,K
linear,0.5,Tesla T4,sgemm_tn,1,58,13,141
linear,0.5,Mystery 9000,sgemm_tn,1,58,13,141
"""


def test_neusight_reduces_over_n(tmp_path):
    csv_gz(tmp_path / "train/linear/Tesla_T4.csv.gz", NEUSIGHT)
    counts, rows = imported(tmp_path, "neusight")
    (row,) = rows
    assert row.key == product("float32", 58, 13, 141)
    assert (row.device, row.software) == ("nvidia-t4", Software("pytorch", {"pytorch": "2.1.0"}))
    assert counts.skipped == {("linear", "device 'Mystery 9000' is not in the catalog"): 1}


def test_neusight_elementwise_norms_and_convolutions(tmp_path):
    head = "OPName,Latency,Device,B,H\n"
    lines = [
        f"{name},0.1,Tesla P4,32,{64 + at}"
        for at, name in enumerate(("add", "mulu", "relu", "gelu", "pow"))
    ]
    csv_gz(tmp_path / "train/elem.csv.gz", head + "\n".join(lines))
    csv_gz(tmp_path / "train/ln.csv.gz", head + "ln,0.1,Tesla P4,32,64")
    csv_gz(tmp_path / "test/softmax.csv.gz", head + "softmax,0.1,Tesla P4,32,64")
    csv_gz(
        tmp_path / "train/conv/Tesla_P4.csv.gz",
        "OPName,Latency,Device,B,Input_Channel,Output_Channel,Kernel_Szie,Input_Size,Stride,"
        "Padding\nconv,1.0,Tesla P4,2,3,8,3,32,2,1",
    )
    counts, rows = imported(tmp_path, "neusight")
    found = {row.key.op_type: row.key for row in rows}
    assert set(found) == {*("Add", "Mul", "Relu", "Gelu", "LayerNormalization", "Softmax", "Conv")}
    assert [str(operand) for operand in found["Add"].inputs] == ["float32[32,64]"] * 2
    assert str(found["Mul"].inputs[1]) == "const float32[]"
    assert str(found["Conv"].outputs[0]) == "float32[2,8,16,16]"
    assert found["Conv"].attrs == {
        "kernel_shape": [3, 3],
        "pads": [1, 1, 1, 1],
        "strides": [2, 2],
    }
    assert list(counts.skipped.values()) == [1]


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x1f\x8b" + b"x" * 30, "cannot be read"),
        (packed(b"a,b\n1,2\n")[:-8], "cannot be read"),
        (packed(b"\xff\xfe\n"), "cannot be read"),
        (packed(b"a,a\n1,2\n"), "is no table with a header"),
        (packed(b""), "is no table with a header"),
        (packed(b"B,M,N,K,Latency,Device,OPName\n1,2\n"), "line 2: 2 cells under 7 names"),
        (packed(b"B,M,K,Latency,Device,OPName\n1,2,3,4,5,6\n"), "lacks the column 'N'"),
        (packed(b'B,M,K,"N\n\x1b[2J",Latency,Device,OPName\n'), "but has 'N\\?\\?"),
    ],
)
def test_damaged_csv_is_one_error(tmp_path, data, words):
    path = csv_gz(tmp_path / "train/linear/Tesla_T4.csv.gz", NEUSIGHT)
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        imported(tmp_path, "neusight")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_unpacks_to_too_much(tmp_path, monkeypatch):
    from lydite.store.foreign import tables

    monkeypatch.setattr(tables, "_MOST_TEXT_BYTES", 10_000)
    csv_gz(tmp_path / "train/linear/Tesla_T4.csv.gz", NEUSIGHT + "#" * 100_000)
    with pytest.raises(InputError, match="unpacks to more than 10,000 bytes"):
        imported(tmp_path, "neusight")
    monkeypatch.setattr(tables, "MOST_ROWS", 1)
    gemm(tmp_path)
    with pytest.raises(InputError, match="holds 2 rows"):
        imported(tmp_path)


LAYER = "time_stats.{}.median"
SIZES = (
    "n_head,n_kv_head,n_embd,n_expanded_embd,use_gated_mlp,num_tokens,num_tensor_parallel_workers"
)


def layer(path: Path, parts: dict[str, float], sizes: str) -> Path:
    head = ",".join([*(LAYER.format(part) for part in parts), SIZES])
    return csv_gz(path, f"{head}\n{','.join(map(str, parts.values()))},{sizes}")


def test_vidurs_layers(tmp_path):
    parts = {"attn_pre_proj": 1.0, "mlp_up_proj": 2.0, "mlp_down_proj": 3.0, "emb": 4.0}
    parts |= {"input_layernorm": 0.1, "add": 0.2}
    layer(tmp_path / "compute/a40/llama/mlp.csv.gz", parts, "32,8,4096,14336,True,256,2")
    counts, rows = imported(tmp_path, "vidur")
    texts = by_text(rows)
    assert texts[product("float16", 256, 4096, 2048 + 2 * 512).text] == pytest.approx(1e-3)
    assert texts[product("float16", 256, 4096, 14336).text] == pytest.approx(2e-3)
    assert texts[product("float16", 256, 7168, 4096).text] == pytest.approx(3e-3)
    assert {row.key.op_type for row in rows} == {"MatMul", "RMSNormalization", "Add"}
    assert counts.skipped == {("mlp", "emb: a share of an embedding, with its mask"): 1}


def test_vidurs_collectives_are_in_bytes_and_of_one_box(tmp_path):
    head = f"{LAYER.format('all_reduce')},rank,num_workers,size,collective,devices_per_node\n"
    lines = "0.05,0,4,4096,all_reduce,4\n0.5,0,4,4096,all_reduce,2\n"
    csv_gz(tmp_path / "network/a100_dgx/all_reduce.csv.gz", head + lines)
    counts, rows = imported(tmp_path, "vidur")
    (row,) = rows
    assert str(row.key.inputs[0]) == "float16[2048]"
    assert row.software.versions == {"box": "a100_dgx"}
    assert list(counts.skipped.values()) == [1]


def test_frontiers_two_clocks_stay_apart(tmp_path):
    parts = {"mlp_down_proj": 3.0, "attn_pre_proj": 9.0}
    path = layer(tmp_path / "a800/tiny/linear_op.csv.gz", parts, "32,4,2048,768,True,64,1")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    rows = [f"{lines[0]},measurement_type", f"{lines[1]},CUDA_EVENT", f"{lines[1]},KERNEL_ONLY"]
    csv_gz(path, "\n".join(rows))
    counts, found = imported(tmp_path, "frontier")
    assert [row.key for row in found] == [product("bfloat16", 64, 768, 2048)] * 2
    assert {row.software.versions["timing"] for row in found} == {"cuda events", "kernel only"}
    assert counts.skipped == {("linear_op", "attn_pre_proj: the size of a head is not said"): 2}


def test_frontiers_attention_of_equal_requests(tmp_path):
    head = (
        "time_stats.attn_prefill.median,time_stats.attn_decode.median,n_q_head,n_kv_head,"
        "num_tensor_parallel_workers,batch_size,prefill_chunk_size,kv_cache_size,is_prefill,"
        "is_mixed_batch,seq_lens"
    )
    lines = [
        "1.0,0.0,32,32,2,1,64,0,True,False,[64]",
        '0.0,2.0,32,32,1,8,0,512,False,False,"[1, 1]"',
        '3.0,0.0,32,32,1,2,0,0,True,False,"[5, 9]"',
    ]
    csv_gz(tmp_path / "a800/Llama-2-7b-hf/attention.csv.gz", "\n".join([head, *lines]))
    counts, rows = imported(tmp_path, "frontier")
    found = {row.key.outputs[0].shape: row.median_s for row in rows}
    assert found == {(1, 64, 2048): pytest.approx(1e-3), (8, 1, 4096): pytest.approx(2e-3)}
    assert counts.skipped == {("attention", "attention of a batch of unlike requests"): 1}


def test_bulk_rows_are_those_of_single_measurements():
    pattern = Pattern(product("bfloat16", *named("m", "k", "n")))
    sizes = {"m": np.array([3, 5]), "k": np.array([7, 7]), "n": np.array([2, 2])}
    texts = pattern.texts(sizes)
    keys = [OpKey.parse(text) for text in texts]
    assert keys == [product("bfloat16", m, 7, 2) for m in (3, 5)]
    software = Software("vllm", {"vllm": "1"})
    rows = ForeignRows(
        "gpu",
        software,
        "others",
        "",
        "MatMul",
        texts,
        [key.digest for key in keys],
        np.array([1e-3, 2e-3]),
        ["fast", ""],
    )
    with Database.in_memory() as database:
        with database.foreign_writer() as put:
            assert put(rows) == {"ops": 2, "measurements": 2}
        found = sorted(database.query(), key=lambda row: row.median_s)
    for row, key, seconds, kernel in zip(found, keys, (1e-3, 2e-3), ("fast", ""), strict=True):
        assert row == Measurement(
            key,
            "gpu",
            software,
            Conditions(),
            np.array([seconds]),
            environment={"kernel": kernel} if kernel else {},
            measured_at="1970-01-01T00:00:00.000000Z",
            source="imported:others",
        )


def test_every_device_of_the_layouts_is_in_the_catalog():
    from lydite.hardware import known_devices
    from lydite.store.foreign import aiconfigurator, frontier, neusight, vidur

    for layout in (aiconfigurator, frontier, neusight, vidur):
        assert set(layout.DEVICES.values()) <= set(known_devices())
