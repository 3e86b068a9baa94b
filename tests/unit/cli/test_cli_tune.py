"""`lydite tune`: words, bad input, and what it says without TVM."""

from __future__ import annotations

import json

import pytest

from lydite.backends.tuned import toolchain

FEW = ("--tuner", "random", "--trials", "2")


@pytest.fixture
def net(tmp_path):
    from lydite.graph import Builder, write_onnx

    g = Builder("op")
    x = g.relu(g.conv(g.input("image", (1, 16, 16, 16)), 16, 3, pad=1))
    return write_onnx(g.build(g.softmax(g.flatten(x))), tmp_path / "op.onnx", weights=False)


def test_the_first_word_is_the_model_unless_it_is_a_subcommand(lydite, toy, tuning, net):
    short = lydite("tune", net, *FEW, "--ifcompare", "false", "--json")
    long = lydite("tune", "model", net, *FEW, "--ifcompare", "false", "--json")
    manual = lydite("tune", "--modelname", net, *FEW, "--ifcompare=false", "--json")
    assert [ran.code for ran in (short, long, manual)] == [0, 0, 0], short.err
    again = json.loads(long.out)
    assert again == json.loads(manual.out)
    assert {row["op_type"] for row in again["ops"]} == {
        row["op_type"] for row in json.loads(short.out)["ops"]
    }
    assert all(row["known"] == 2 and row["trials"] == 0 for row in again["ops"])


def test_what_is_faster_alone_but_gains_less_than_a_call_is_not_called_tuned(
    lydite, toy, tuning, net
):
    """The fixture's schedules take half of ONNX Runtime's few microseconds: less than 10 us."""
    ran = lydite("tune", net, *FEW, "--ops", "top1", "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    (row,) = document["ops"]
    assert (row["accepted"], row["tuned_calls"]) == (True, 0)
    assert row["before_s"] - row["after_s"] < 10e-6
    assert row["decision"].startswith("keeps ONNX Runtime's: faster by less than a call")
    assert document["whole"] is None
    assert "ONNX Runtime runs the model" in document["whole_note"]
    again = lydite("tune", net, *FEW, "--ops", "top1", "--ifcompare", "false", "--json")
    (row,) = json.loads(again.out)["ops"]
    assert (row["accepted"], row["tuned_calls"]) == (True, None)
    assert row["decision"] == "shown to be faster"


def test_the_manuals_flags(lydite, toy, tuning, net):
    ran = lydite("tune", "--modelsource=local", "--modelname", "lenet5", "--iftune=false")
    assert ran.code == 0, ran.err
    assert "distinct" in ran.out
    ran = lydite("tune", "--modelsource=simple", "--tuner", "gridsearch", "--trials", "2")
    assert ran.code == 0, ran.err
    assert "1024x1024" in ran.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tuner", "xbg"], "did you mean 'xgb'"),
        (["--trials", "0"], "trials is 0; allowed: 1 to 3000"),
        (["--target", "arm"], "the target arm needs"),
        (["--target", "pynq"], "needs VTA"),
        (["--target", "cuda"], "no schedule spaces"),
        (["--ops", "Relu"], "names no operator that has a schedule space"),
        (["--ops", "top0"], "names no operator"),
        (["--iftune", "maybe"], "allowed: true or false"),
        (["--modelname", "resnet18"], "two models are named"),
        (["--modelsource", "web"], "unknown source 'web'"),
        (["--batch", "1", "--batchsize", "1"], "give one of them"),
    ],
)
def test_bad_words(lydite, toy, tuning, net, words, told):
    ran = lydite("tune", net, *words)
    assert ran.code == 2
    assert told in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["conv2", "--shape", "1,3,8,8"], "did you mean 'conv2d'"),
        (["conv2d", "--shape", "1,3,8"], "allowed: N,C,H,W"),
        (["conv2d", "--shape", "1,3,8,8"], "add --filters N"),
        (["conv2d", "--shape", "1,3,8,-8", "--filters", "4"], "not a shape"),
        (["softmax", "--shape", "4,8"], "no schedule space"),
    ],
)
def test_bad_operators(lydite, toy, tuning, words, told):
    ran = lydite("tune", "op", *words)
    assert ran.code == 2
    assert told in ran.err


def test_a_url_is_not_fetched(lydite, toy, tuning):
    ran = lydite("tune", "--modelsource=remoteonnx", "--modelname", "https://example.com/t5.onnx")
    assert ran.code == 2
    assert "nothing is downloaded" in ran.err


def test_without_tvm_it_says_what_to_type(lydite, toy, net, monkeypatch):
    monkeypatch.setattr(toolchain, "installed", lambda: False)
    toolchain.machine.cache_clear()
    for words in (["tune", net], ["tune", "op", "matmul", "--shape", "8,32", "--filters", "32"]):
        ran = lydite(*words)
        assert ran.code == 2
        assert "pip install 'lydite[tvm]'" in ran.err
    ran = lydite("ops", net)
    assert ran.code == 0
    toolchain.machine.cache_clear()
