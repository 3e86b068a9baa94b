"""What a user can get wrong: one clear line, exit code 2, and a database that stays as it was."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper

from lydite import backends
from lydite.graph import Builder, write_onnx
from lydite.store import Database, connect, export_file

pytestmark = pytest.mark.usefixtures("intact", "toy")


def external(path, location):
    """A model whose weight lies in the file `location`."""
    weight = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[64, 64], data_location=TensorProto.EXTERNAL
    )
    weight.external_data.add(key="location", value=location)
    sides = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 64]) for n in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    graph = helper.make_graph([node], "g", sides[:1], sides[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


# Model files.


@pytest.mark.parametrize("command", ["inspect", "predict", "profile", "bench", "validate"])
def test_a_file_that_is_not_there(refused, tmp_path, command):
    path = tmp_path / "none.onnx"
    assert refused(command, path) == f"{path}: no such file"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("net.onnx", ("inspect",)),
        ("net.pbtxt", ("inspect",)),
        ("steps.csv", ("calibrate", "--on", "dgx-a100")),
        ("rows.jsonl", ("db", "import")),
        ("chip.yaml", ("chip", "lenet5", "--chip")),
        ("cluster.yaml", ("simulate", "lenet5", "--on")),
    ],
)
def test_what_is_no_regular_file(refused, tmp_path, name, command):
    """A pipe would keep the command waiting, a device would never end."""
    os.mkfifo(tmp_path / name)
    assert refused(*command, tmp_path / name) == f"{tmp_path / name}: is not a regular file"


def test_steps_that_are_no_text(refused, tmp_path):
    path = tmp_path / "steps.csv"
    path.write_bytes(b"model,step_ms\nlenet5,\xd3\n")
    assert (
        refused("calibrate", path, "--on", "dgx-a100") == f"{path}: cannot be read: not a text file"
    )
    path.write_text("model,step_ms\n" + "x" * 200_000 + ",1\n")
    assert refused("calibrate", path, "--on", "dgx-a100").startswith(
        f"{path}: is not a CSV file: field larger than"
    )


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [("tp", 0, "tp is 0; allowed: 1 and more"), ("zero", 4, "zero is 4; allowed: 0 to 3")],
)
def test_a_column_has_the_limits_of_its_option(refused, tmp_path, column, value, text):
    path = tmp_path / "steps.csv"
    path.write_text(f"model,step_ms,{column}\nlenet5,10,{value}\n")
    for command in (("calibrate", path), ("validate", "--baseline", path)):
        assert refused(*command, "--on", "dgx-a100") == f"{path}, line 2: {text}"


def test_a_refusal_is_one_line_whatever_it_cites(refused, tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text('"two\\nlines": 1\n')
    assert "'two\\nlines'" in refused("simulate", "lenet5", "--on", path)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_truncated_file(refused, net, share):
    raw = net.read_bytes()
    net.write_bytes(raw[: int(len(raw) * share)])
    assert refused("inspect", net).startswith(f"{net}: ")


@pytest.mark.parametrize("content", [b"", b"once upon a time\n" * 50, b"\x00" * 64, b"\xff" * 64])
def test_a_file_that_is_no_model(refused, net, content):
    net.write_bytes(content)
    assert refused("predict", net).startswith(f"{net}: ")


def test_a_folder_named_like_a_model(refused, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    assert "folder.onnx" in refused("inspect", tmp_path / "folder.onnx")


@pytest.mark.parametrize("command", ["bench", "profile", "validate", "predict"])
def test_external_data_missing(refused, tmp_path, command):
    line = refused(command, external(tmp_path / "m.onnx", "weights.bin"))
    assert "weights.bin" in line


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname", "a/../../secret.bin"])
def test_external_data_outside_the_folder(refused, tmp_path, place):
    (tmp_path / "secret.bin").write_bytes(bytes(64 * 64 * 4))
    (tmp_path / "home").mkdir()
    line = refused("bench", external(tmp_path / "home" / "m.onnx", place))
    assert f"'{place}' points outside the folder of the model" in line


def test_an_unknown_operator_domain(refused, tmp_path):
    sides = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in "xy"]
    node = helper.make_node("Mystery", ["x"], ["y"], name="m", domain="com.microsft")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsft", 1)]
    graph = helper.make_graph([node], "g", sides[:1], sides[1:])
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    line = refused("inspect", path)
    assert "unknown operator domain 'com.microsft'" in line
    assert "did you mean 'com.microsoft'?" in line


@pytest.mark.parametrize("command", ["bench", "profile", "validate", "predict"])
def test_a_symbolic_size_left_open(refused, tmp_path, command):
    g = Builder("open")
    path = write_onnx(
        g.build(g.relu(g.input("x", ("length", 8)))), tmp_path / "open.onnx", weights=False
    )
    assert "--dim length=" in refused(command, path)


@pytest.mark.parametrize("backend", ["replay", "torch"])
def test_a_symbolic_size_left_open_on_other_backends(refused, tmp_path, backend):
    g = Builder("open")
    path = write_onnx(
        g.build(g.relu(g.input("x", ("length", 8)))), tmp_path / "open.onnx", weights=False
    )
    assert "--dim length=" in refused("bench", path, "--backend", backend)


@pytest.mark.parametrize("text", ["batch", "batch=", "batch=two", "batch=-1", "=3", "batch=1.5"])
def test_a_bad_dim(refused, net, text):
    assert "NAME=SIZE" in refused("inspect", net, "--dim", text)


def test_a_dim_that_the_model_does_not_have(refused, net):
    assert "height" in refused("inspect", net, "--dim", "height=3")


def test_a_dim_that_is_too_large(refused, tmp_path):
    g = Builder("open")
    path = write_onnx(g.build(g.relu(g.input("x", ("n", 8)))), tmp_path / "o.onnx", weights=False)
    for size in ("2147483648", "99999999999999999999"):
        assert "NAME=SIZE" in refused("bench", path, "--dim", f"n={size}")


@pytest.mark.parametrize("command", ["bench", "profile", "validate"])
def test_a_model_that_does_not_fit_in_memory(refused, monkeypatch, command):
    free = SimpleNamespace(available=1 << 28, total=1 << 30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    line = refused(command, "vgg16")
    assert "GiB" in line
    assert "use a smaller batch or model" in line


def test_weights_larger_than_any_memory(refused, tmp_path):
    g = Builder("huge")
    x = g.linear(g.input("x", (1, 1 << 20)), 1 << 22)
    path = write_onnx(g.build(x), tmp_path / "huge.onnx", weights=False)
    assert "GiB are free" in refused("bench", path)


# Names and options.


def test_a_model_with_a_typo(refused):
    line = refused("predict", "resnet5", "--on", "h100")
    assert line.startswith("unknown model 'resnet5'; allowed: alexnet, ")
    assert "did you mean 'resnet50'?" in line
    assert "or give the path of an .onnx file" in line


def test_a_backend_with_a_typo(refused, net):
    for command in ("profile", "bench", "validate", "predict"):
        line = refused(command, net, "--backend", "onnxruntim")
        assert line.startswith("unknown backend 'onnxruntim'; allowed: ")
        assert line.endswith("did you mean 'onnxruntime'?")


def test_a_backend_that_is_not_installed(refused, net, monkeypatch):
    for name in [n for n in sys.modules if n == "torch" or n.startswith("torch.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("lydite.backends.torch", "lydite.backends.torch_ops"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.delattr(backends, name.rpartition(".")[2], raising=False)
    line = refused("bench", net, "--backend", "torch")
    assert line == "the package 'torch' is not installed; type: pip install 'lydite[torch]'"


@pytest.mark.parametrize("name", ["h10", "a101", "nvidia-h100-sxm5-80g"])
def test_a_device_with_a_typo(refused, net, name):
    line = refused("predict", net, "--on", name)
    assert line.startswith(f"unknown device '{name}'; allowed: ")
    assert "did you mean '" in line


def test_a_device_file_that_is_bad(refused, net, tmp_path):
    path = tmp_path / "mine.yaml"
    assert refused("predict", net, "--on", path) == f"{path}: no such device file"
    path.write_text("name: [")
    assert f"{path}:2: not YAML" in refused("predict", net, "--on", path)
    path.write_bytes(b"\xff\xfe\x00name")
    assert str(path) in refused("predict", net, "--on", path)


def test_an_accelerator_that_is_not_here(refused, net, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    line = refused("bench", net, "--backend", "replay", "--device", "cuda")
    assert line == "replay has no device 'cuda' here; allowed: cpu"


def test_more_threads_than_cores(refused, net):
    for command in ("profile", "bench", "validate"):
        line = refused(command, net, "--threads", 3)
        assert line == "--threads 3 is more than the 2 cores of this machine"


@pytest.mark.parametrize("text", ["8 GHz", "lots", "-1 GiB", "8 GB/s", "nan"])
def test_memory_in_the_wrong_unit(refused, net, text):
    line = refused("profile", net, "--memory", text)
    assert line.startswith(f"--memory: '{text}' is not ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["profile", "NET", "--clock", "wal"], "unknown clock 'wal'; allowed: process, wall; did"),
        (["predict", "NET", "--clock", "sun"], "unknown clock 'sun'; allowed: process, wall"),
        (["profile", "NET", "--cache", "warm"], "unknown cache state 'warm'; allowed: cold, hot"),
        (["inspect", "bert-base", "--image-size", "64"], "bert-base: takes no image_size; allowed"),
        (["inspect", "resnet50", "--sequence", "64"], "resnet50: takes no sequence; allowed:"),
        (["inspect", "resnet50", "--image-size", "8"], "resnet50: image_size 8 is impossible"),
        (["inspect", "bert-base", "--sequence", "513"], "bert-base: sequence 513 is impossible"),
        (["inspect", "resnet50", "--dtype", "float33"], "unknown precision 'float33'; allowed:"),
        (["inspect", "resnet50", "--dim", "n=1"], "--dim is for files; 'resnet50' is a model of"),
        (["inspect", "resnet50", "--params", "x"], "--params is for files; 'resnet50' is a model"),
        (["inspect", "NET", "--image-size", "9"], "NET: a file has its own sizes, --image-size"),
        (["inspect", "NET", "--phase", "decode"], "NET: a file has its own sizes, --phase is for"),
        (["inspect", "NET", "--dtype", "int9"], "unknown precision 'int9'; allowed: autocast-"),
        (["inspect", "NET", "--optimizer", "adam"], "--optimizer adam asks for training; add"),
        (["inspect", "NET", "--recompute", "3"], "--recompute 3 asks for training; "),
        (["inspect", "NET", "--train", "--optimizer", "adm"], "unknown optimizer 'adm'; allowed:"),
        (["inspect", "NET", "--train", "--loss", "l2"], "unknown loss 'l2'; allowed: cross_ent"),
        (["inspect", "NET", "--train", "--recompute", "99"], "small: cannot cut into 99 segments"),
        (["inspect", "gpt2", "--phase", "decod"], "unknown phase 'decod'; allowed: decode, forw"),
        (["simulate", "gpt2", "--train", "--tp", "3"], "tp 3 x pp 1 = 3 does not divide"),
        (["simulate", "gpt2", "--train", "--tp", "8"], "gpt2: attention (Attention):"),
        (
            ["db", "import", "ncl", "a.log"],
            "unknown file format 'ncl'; allowed: aiconfigurator, a",
        ),
        (["simulate", "gpt2", "--on", "dgx-a101"], "unknown cluster 'dgx-a101'"),
        (["simulate", "gpt2", "--devices", "9"], "9 devices requested, but 'dgx-a100' has 8"),
        (["simulate", "gpt2", "--train", "--schedule", "2f2b"], "unknown schedule '2f2b'"),
        (
            ["simulate", "gpt2", "--slow", "3"],
            "--slow: '3' does not give a factor; allowed: NUMBER=",
        ),
        (["simulate", "gpt2", "--slow", "9=0.5"], "dgx-a100: no rank 9; allowed: 0 to 7"),
        (["simulate", "resnet50", "--train", "--cp", "2"], "--cp 2 does not divide the"),
        (["simulate", "gpt2", "--train", "--ep", "2"], "gpt2: has no experts to distribute;"),
        (["simulate", "gpt2", "--attention", "fast"], "unknown attention 'fast'; allowed: fused,"),
        (["simulate", "gpt2", "--bucket", "5 s"], "--bucket: '5 s' is not in B"),
        (["simulate", "gpt2", "--mtbf", "5 GB"], "--mtbf: '5 GB' is not in s"),
        (["simulate", "gpt2", "--mtbf", "5"], "--mtbf: '5' has no unit; allowed: such as '2 s'"),
        (["simulate", "gpt2", "--bucket", "25"], "--bucket: '25' has no unit"),
        (
            ["simulate", "gpt2", "--checkpoint-interval", "9 min"],
            "--checkpoint-interval has no eff",
        ),
        (["simulate", "gpt2", "--train", "--loss", "foo"], "unknown loss 'foo'; allowed:"),
        (["simulate", "gpt2", "--train", "--phase", "decode"], "--train with --phase decode; all"),
        (["simulate", "gpt2", "--search", "--tp", "2"], "--search chooses --tp itself; leave it"),
        (
            ["simulate", "gpt2", "--search", "--runtime", "eager"],
            "--search takes no --runtime; lea",
        ),
        (
            ["simulate", "gpt2", "--search", "--attention", "written"],
            "--search looks at no plan with --attention",
        ),
        (["simulate", "gpt2", "--optimizer", "adam"], "--optimizer adam asks for training; add"),
        (
            ["predict", "gpt2", "--runtime", "eagre", "--on", "t4"],
            "unknown runtime 'eagre'; allowed",
        ),
        (["simulate", "gpt2", "--constants", "no.json"], "no.json: cannot be read"),
        (["calibrate", "no.csv", "--on", "dgx-a100"], "no.csv: cannot be read"),
        (["runs", "--show", "nothing"], "unknown run 'nothing'; allowed: none"),
        (["db", "query", "--scope", "alone"], "unknown scope 'alone'; allowed: in_graph,"),
    ],
)
def test_what_an_option_does_not_take(refused, net, arguments, text):
    line = refused(*[str(net) if a == "NET" else a for a in arguments])
    assert line.startswith(text.replace("NET", str(net)))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["inspct", "NET"], "No such command 'inspct'"),
        (["inspect"], "Missing argument 'MODEL'"),
        (["inspect", "NET", "--jsn"], "No such option: --jsn"),
        (["inspect", "NET", "--batch", "two"], "Invalid value for '--batch': "),
        (["inspect", "NET", "--batch", "0"], "Invalid value for '--batch': "),
        (["profile", "NET", "--threads"], "Option '--threads' requires an argument"),
        (["bench", "NET", "--rounds", "1"], "Invalid value for '--rounds': "),
        (["db", "exprt"], "No such command 'exprt'"),
    ],
)
def test_a_command_that_cannot_be_read(refused, net, arguments, text):
    line = refused(*[str(net) if a == "NET" else a for a in arguments])
    assert line.startswith(text)
    assert line.endswith("type: lydite --help")


@pytest.mark.parametrize("arguments", [[], ["db"]])
def test_nothing_to_do_shows_the_help(lydite, arguments):
    ran = lydite(*arguments)
    assert ran.code == 2
    assert "Usage: lydite" in ran.out + ran.err
    assert "Traceback" not in ran.err


# Databases.

READERS = (["db", "stats"], ["db", "query"], ["runs"], ["predict", "alexnet", "--on", "h100"])


@pytest.mark.parametrize("command", READERS, ids=" ".join)
@pytest.mark.parametrize(
    "content", [b"a line of text\n" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_database_that_is_none(refused, tmp_path, command, content):
    path = tmp_path / "bad.db"
    path.write_bytes(content)
    assert str(path) in refused(*command, "--db", path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_a_folder_for_a_database(refused, tmp_path, command):
    assert refused(*command, "--db", tmp_path) == f"{tmp_path}: is a folder; allowed: a file"


def test_a_damaged_database(refused, tmp_path, database):
    path = tmp_path / "damaged.db"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    raw = bytearray(database.read_bytes())
    raw[4096:] = b"\xaa" * (len(raw) - 4096)
    path.write_bytes(raw)
    assert "damaged" in refused("db", "stats", "--db", path)


def test_a_newer_schema(refused, tmp_path, net):
    path = tmp_path / "newer.db"
    Database.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '999' WHERE key = 'schema_version'")
        if connection.total_changes == 0:
            pytest.fail("the schema's version is not where this test looks for it")
    connection.close()
    for command in (["db", "stats"], ["runs"], ["profile", str(net)]):
        line = refused(*command, "--db", path)
        assert "999" in line
        assert "newer" in line


def test_a_locked_database(refused, database, net, monkeypatch):
    monkeypatch.setattr(
        Database.open.__func__, "__kwdefaults__", {"read_only": False, "busy_timeout_s": 0.05}
    )
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        line = refused("profile", net, "--backend", "replay")
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert line.startswith(f"{database}: is locked by another process")


def test_a_read_only_database(refused, database, net, monkeypatch):
    real = connect._raw  # root may write everywhere, so SQLite is told instead of the file system
    monkeypatch.setattr(
        connect, "_raw", lambda uri, *rest: real(uri.replace("mode=rwc", "mode=ro"), *rest)
    )
    line = refused("profile", net, "--backend", "replay")
    assert line.startswith(f"{database}: is read-only")


def test_disk_full_while_exporting(refused, database, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for suffix in (".jsonl", ".jsonl.gz", ".parquet"):
        path = tmp_path / f"rows{suffix}"
        path.write_bytes(b"older")
        line = refused("db", "export", path, "--force")
        assert line.startswith(f"{path}: cannot write: No space left on device")
        assert path.read_bytes() == b"older"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".rows")]


def test_disk_full_while_saving_rows(refused, database, tmp_path, monkeypatch):
    rows, path = tmp_path / "many.db", tmp_path / "rows.jsonl"
    with Database.open(rows) as many, Database.open(database) as opened:
        (row,) = opened.query()
        many.add(replace(row, samples_s=np.full(100, 1.0 + n)) for n in range(2000))
        export_file(many, path)
    real = connect._raw

    def small(*arguments):
        connection = real(*arguments)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        return connection

    monkeypatch.setattr(connect, "_raw", small)
    for command in (["db", "import", path], ["db", "merge", rows]):
        assert "the disk is full" in refused(*command)


def test_export_where_nothing_can_be_written(refused, database, tmp_path):
    assert "cannot write" in refused("db", "export", tmp_path / "lydite.db" / "rows.jsonl")
    line = refused("db", "export", tmp_path / "rows.csv")
    assert line.startswith("the suffix of 'rows.csv' is not an export format; allowed: .jsonl")


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{}\n", b'{"format": 1}\n[1]\n'])
def test_import_of_bad_files(lydite, database, tmp_path, suffix, content):
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(content)
    ran = lydite("db", "import", path)
    if ran.code == 0:  # an empty file holds nothing, and says so
        assert (content, ran.out) == (b"", f"0 new measurements from {path}\n")
        return
    assert ran.code == 2
    assert len(ran.lines) == 1
    assert ran.err.startswith(f"lydite: {path}")


def test_import_of_a_half_file_is_all_or_nothing(refused, lydite, database, tmp_path):
    path = tmp_path / "rows.jsonl"
    assert lydite("db", "export", path).code == 0
    path.write_text(path.read_text() + '{"measurement": {"key": 1}}\n')
    assert f"{path}:" in refused("db", "import", path, "--db", tmp_path / "fresh.db")
    with Database.open(tmp_path / "fresh.db") as fresh:
        assert fresh.stats()["measurements"] == 0


def test_import_of_other_files(refused, tmp_path):
    line = refused("db", "import", tmp_path / "none.jsonl")
    assert "none.jsonl" in line
    aisim = tmp_path / "db.json"
    aisim.write_text("{}")
    line = refused("db", "import", aisim)
    assert line == f"{aisim}: AISim's files do not name the device; add --device NAME"
    aisim.write_text('{"x": ')
    assert str(aisim) in refused("db", "import", aisim, "--device", "v100")


def test_merge_with_nothing(refused, tmp_path):
    path = tmp_path / "none.db"
    assert refused("db", "merge", path) == f"{path}: no such database"
    assert not path.exists()


# What happens while a command runs.


def test_ctrl_c(lydite, net, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lydite.measure.profile", interrupted)
    ran = lydite("profile", net, "--backend", "replay", "--quiet")
    assert ran.code == 130
    said = [line for line in ran.lines if line]
    assert said == ["lydite: interrupted; measurements so far are kept"]
    with Database.open() as opened:
        assert [run.status for run in opened.runs()] == ["interrupted"]


def test_a_fault_of_the_system_is_one_line(refused, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/somewhere")

    monkeypatch.setattr("lydite.models.build_model", refuse)
    assert refused("inspect", "alexnet") == "/somewhere: Permission denied"


def test_memory_that_runs_out_is_one_line(refused, monkeypatch):
    def refuse(*_, **__):
        raise MemoryError

    monkeypatch.setattr("lydite.models.build_model", refuse)
    assert "not enough memory" in refused("inspect", "alexnet")


def test_a_fault_of_ours_is_shown_whole(monkeypatch):
    code = (
        "import sys, lydite.models\n"
        "def broken(*_, **__):\n    raise AssertionError('ours')\n"
        "lydite.models.build_model = broken\n"
        "from lydite.cli import main\nsys.argv = ['lydite', 'inspect', 'alexnet']\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "AssertionError: ours" in done.stderr


def test_a_reader_that_goes_away_is_no_fault():
    command = f"{sys.executable} -m lydite models --quiet | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("model")
    assert "Traceback" not in done.stderr
