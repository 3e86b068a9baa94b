"""Bad input to `serve`: one line, exit code 2; and what a search says."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def llama(tmp_path):
    config = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 512}
    config |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config |= {"vocab_size": 512, "max_position_embeddings": 4096}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return str(path)


RATE = ["--rate", "5", "--requests", "20"]


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["LLAMA"], "no workload"),
        (["resnet50", *RATE], "is not built in phases"),
        (["LLAMA", *RATE, "--on", "h101"], "unknown device 'h101'"),
        (["LLAMA", *RATE, "--runtime", "vlm"], "did you mean 'vllm'?"),
        (["LLAMA", *RATE, "--router", "prefx"], "did you mean 'prefix'?"),
        (["LLAMA", *RATE, "--layout", "tp2x"], "'tp2x' is no layout"),
        (["LLAMA", *RATE, "--prefill", "2xtp1"], "--decode is missing"),
        (
            ["LLAMA", *RATE, "--prefill", "1xtp1", "--decode", "1xtp1", "--kv-link", "fast"],
            "not a quantity",
        ),
        (["LLAMA", *RATE, "--tp", "3"], "cannot be split among 3 ranks"),
        (["LLAMA", *RATE, "--isl", "5000"], "the model has 4,096 positions"),
        (["LLAMA", *RATE, "--kv-tokens", "100"], "has room for 84"),
        (["LLAMA", *RATE, "--memory-share", "2"], "a share of memory of 2"),
        (["LLAMA", *RATE, "--slo", "ttft.p99=600"], "has no unit"),
        (["LLAMA", *RATE, "--slo", "tft=1s"], "did you mean 'ttft'?"),
        (["LLAMA", *RATE, "--find", "gpus"], "a search needs objectives"),
        (["LLAMA", *RATE, "--gpus", "2"], "add --find config"),
        (
            ["LLAMA", *RATE, "--find", "gpus", "--slo", "ttft=1s", "--compare", "tp1"],
            "two questions",
        ),
        (["LLAMA", *RATE, "--layout", "tp2", "--replicas", "2"], "both say what the replicas are"),
        (["LLAMA", *RATE, "--layout", "4xtp2ep"], "'4xtp2ep' is no layout"),
        (["LLAMA", *RATE, "--ep", "4"], "the model has no experts to spread"),
        (["LLAMA", *RATE, "--tp", "2", "--ep", "3"], "no multiple of tp 2"),
        (["mixtral-8x7b", *RATE, "--ep", "3"], "8 experts cannot be spread over 3 devices"),
        (["mixtral-8x7b", *RATE, "--ep", "4", "--expert-load", "no"], "'no' is no file"),
        (["LLAMA", *RATE, "--prefix-caching", "of"], "allowed: on, off"),
        (["LLAMA", "--trace", "none.csv", "--turns", "3"], "--turns has no effect"),
        (["LLAMA", *RATE, "--find", "gpu", "--slo", "ttft=1s"], "did you mean 'gpus'?"),
        (["LLAMA", *RATE, "--find", "config", "--slo", "ttft=1s"], "--gpus 8"),
        (["LLAMA", *RATE, "--trace", "none.csv"], "none.csv: cannot be read"),
        (["LLAMA", *RATE, "--profile", "none"], "none: no dense.csv"),
        (["LLAMA", *RATE, "--arrival", "poison"], "did you mean 'poisson'?"),
        (["llama3-405b", *RATE], "does not fit nvidia-h100-sxm5-80gb: weights 755.96 GiB"),
        (
            ["LLAMA", *RATE, "--find", "gpus", "--slo", "tpot=1us"],
            "even one request alone: tpot.p99",
        ),
        (["LLAMA", "--find", "rate", "--slo", "ttft.p99=1us"], "no rate meets the objectives"),
        (["LLAMA", *RATE, "--draft", "LLAMA"], "--draft needs the chance"),
        (["LLAMA", *RATE, "--draft-tokens", "2"], "--draft-tokens has no effect here"),
        (["LLAMA", *RATE, "--draft", "ngram", "--acceptance", "0.8,no"], "--acceptance: 'no'"),
        (["LLAMA", *RATE, "--draft", "ngram", "--acceptance", "1.2"], "allowed: 0 to 1"),
        (
            ["LLAMA", *RATE, "--draft", "ngram", "--acceptance", "0.8,0.6", "--draft-tokens", "3"],
            "2 chances for 3 draft tokens",
        ),
        (
            ["LLAMA", *RATE, "--draft", "ngram", "--acceptance", "0.8", "--runtime", "sglang"],
            "--draft is not modelled for sglang",
        ),
        (["LLAMA", *RATE, "--draft", "llama3-8b", "--acceptance", "0.8"], "has a vocabulary of"),
        (["LLAMA", *RATE, "--draft", "resnet50", "--acceptance", "1"], "is not built in phases"),
        (["LLAMA", *RATE, "--pp", "2", "--runtime", "sglang"], "--pp is not modelled for sglang"),
        (["LLAMA", *RATE, "--pp", "3"], "allowed: 1 to 2, as it has layers"),
        (["LLAMA", *RATE, "--layout", "pp2ep2"], "over pipeline stages, which is not modelled"),
        (
            ["LLAMA", *RATE, "--pp", "2", "--draft", "ngram", "--acceptance", "0.8"],
            "--draft is not modelled with pipeline stages",
        ),
        (["LLAMA", *RATE, "--cold-start", "5"], "--cold-start has no effect here"),
        (["LLAMA", *RATE, "--fail", "2@3"], "replica 2 cannot fail; allowed: 1 to 1"),
        (["LLAMA", *RATE, "--fail", "1@-3"], "'1@-3' is no failure"),
        (["LLAMA", *RATE, "--fail", "1@3", "--ep", "1", "--layout", "pd1:1"], "are not modelled"),
        (["LLAMA", *RATE, "--fail", "1@3", "--compare", "tp1"], "with --find or --compare"),
        (["LLAMA", *RATE, "--autoscale", "4:1"], "1 <= MIN < MAX"),
        (["LLAMA", *RATE, "--autoscale", "1:4,wait=3"], "is no rule of scaling"),
        (["LLAMA", *RATE, "--autoscale", "1:4", "--replicas", "2"], "both say how many replicas"),
        (["LLAMA", *RATE, "--policy", "prio"], "did you mean 'priority'?"),
        (["LLAMA", *RATE, "--draft", "mtp"], "has no layer for multi-token prediction"),
        (["LLAMA", *RATE, "--draft", "eagle"], "--draft needs the chance"),
        (["LLAMA", *RATE, "--compare", "tp1:fp9"], "did you mean 'fp8'?"),
        (["LLAMA", *RATE, "--weights", "int3"], "unknown format of weights 'int3'"),
        (["deepseek-v3", *RATE, "--tp", "16", "--weights", "fp8"], "few bits already"),
        (["LLAMA", *RATE, "--adapters", "2"], "add --lora 16"),
        (["LLAMA", *RATE, "--lora", "8", "--lora-targets", "al"], "did you mean 'all'?"),
        (["LLAMA", *RATE, "--lora", "8", "--runtime", "sglang"], "not modelled for sglang"),
        (
            ["LLAMA", *RATE, "--kv-host", "1GB", "--fail", "1@3"],
            "replicas that fail, start or stop",
        ),
        (["LLAMA", *RATE, "--kv-disk", "1TB"], "--kv-disk has no effect here; add --kv-host"),
        (["LLAMA", *RATE, "--kv-host", "1GB", "--kv-disk", "1TB"], "--kv-disk-link 6GB/s"),
        (["LLAMA", *RATE, "--kv-host", "1GB", "--kv-host-link", "0GB/s"], "more than 0"),
        (["LLAMA", *RATE, "--kv-host", "1 GHz"], "--kv-host"),
        (["LLAMA", *RATE, "--kv-host", "1GB", "--on", "rtx-4090"], "--kv-host-link 50GB/s"),
        (["LLAMA", *RATE, "--kv-host", "1GB", "--runtime", "sglang"], "not modelled for sglang"),
        (
            ["LLAMA", *RATE, "--policy", "priority", "--runtime", "trtllm"],
            "--policy priority is not modelled for trtllm",
        ),
    ],
)
def test_bad_input(refused, llama, command, line):
    assert line in refused("serve", *(llama if word == "LLAMA" else word for word in command))


def test_what_out_writes_is_read_back_without_error(llama, tmp_path):
    from typer.testing import CliRunner

    from lydite.cli.app import app

    def played(*words):
        words = ["serve", llama, *words, "--on", "h100", "--json", "--out", str(tmp_path / "out")]
        assert CliRunner().invoke(app, words).exit_code == 0
        return json.loads((tmp_path / "out" / "serve.json").read_text())

    played(*RATE)
    bench = tmp_path / "out" / "vllm-bench.json"
    assert (tmp_path / "out" / "requests.csv").is_file()
    replay = played("--replay", str(bench))["replay"]
    assert {row["median_request_error"] for row in replay["figures"].values()} == {0.0}
