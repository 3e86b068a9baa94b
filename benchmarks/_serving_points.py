"""Serving points of AIConfigurator on H100, as workloads and deployments."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 128256,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rope_theta": 500000.0,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}
SIZES = {
    "meta-llama/Llama-3.1-8B-Instruct": (4096, 14336, 32, 32),
    "meta-llama/Llama-3.1-70B": (8192, 28672, 80, 64),
}
INFERENCEMAX = ((1024, 1024), (1024, 8192), (8192, 1024))
"""Lengths of InferenceMAX's workloads; AIConfigurator's own points have others, or another id."""
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3"}


@dataclass(frozen=True)
class Point:
    """A measured point.

    Attributes:
        row: The row of the table.
        model: Folder of the model's config.
        backend: Runtime.
        tp: Devices that share every product.
        ep: Devices over which experts are spread.
        isl, osl, concurrency: Workload.
        ttft_s, tpot_s: What was measured, means.
    """

    row: Mapping[str, str]
    model: Path
    backend: str
    tp: int
    ep: int
    isl: int
    osl: int
    concurrency: int
    ttft_s: float
    tpot_s: float

    @property
    def protocol(self) -> dict[str, Any]:
        """Workload and limits as the source's scripts state them, options of `serve`.

        Both send ten requests a user. InferenceMAX draws lengths between 0.8 and 1 of those stated
        (`--random-range-ratio 0.8`): 0.9 in the mean, with a standard deviation of 0.2 / sqrt(12).
        AIConfigurator's have one length (`genai_perf_runner.py`), for engines whose budget of
        tokens its generator sets to 512 + isl + 1500 (`trtllm.rule`, `vllm.rule`: 512 sequences at
        least); that vLLM 0.12 was started with it is taken from the rule, since the template of
        its arguments does not pass it. SGLang runs with defaults.
        """
        given: dict[str, Any] = {
            "concurrency": self.concurrency,
            "requests": 10 * self.concurrency,
            "isl": self.isl,
            "osl": self.osl,
        }
        if self.row["id"].startswith("2026_") and (self.isl, self.osl) in INFERENCEMAX:
            shorter = {"isl": 0.9 * self.isl, "osl": 0.9 * self.osl}
            return {**given, **shorter, "spread": 0.2 / 12**0.5 / 0.9}
        if self.backend != "sglang":
            given["max_num_batched_tokens"] = 512 + self.isl + 1500
        return given


def with_blocks(log: Path, workload: Path, out: Path) -> Path:
    """A log of vLLM with the blocks that its prompts have in common, from the workload's file."""
    with gzip.open(workload, "rt", encoding="utf-8") as lines:
        blocks = [json.loads(line)["prefix_blocks_of_16"] for line in lines]
    with gzip.open(log, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        number = int(row["request_id"].rpartition("-")[2])
        row["prefix_blocks_of_16"] = blocks[number]
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


def points(folder: Path, configs: Path) -> Iterator[Point]:
    """Points of replicas that run requests from end to end."""
    with gzip.open(folder / "silicon_points.csv.gz", "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["mode"] != "agg" or row["attention_dp_size"] not in ("", "1"):
                continue
            model = _config(folder, configs, row)
            if model is None:
                continue
            yield Point(
                row,
                model,
                row["backend"],
                int(row["tp_size"]),
                int(row["moe_ep_size"] or 1),
                int(row["isl"]),
                int(row["osl"]),
                int(row["batch_size"]),
                float(row["silicon_ttft_ms"]) * 1e-3,
                float(row["silicon_tpot_ms"]) * 1e-3,
            )


def _config(folder: Path, configs: Path, row: Mapping[str, str]) -> Path | None:
    name, mode = row["model_path"], row["gemm_quant_mode"]
    place = configs / f"{name.replace('/', '--')}-{mode or 'own'}"
    if place.is_dir():
        return place
    config: dict[str, Any]
    if name in SIZES:
        hidden, inner, layers, heads = SIZES[name]
        config = {**LLAMA, "hidden_size": hidden, "intermediate_size": inner}
        config |= {"num_hidden_layers": layers, "num_attention_heads": heads}
    else:
        path = folder / "model_configs" / f"{name.replace('/', '--')}_config.json"
        if not path.is_file():
            return None
        config = json.loads(path.read_text())
    if mode in ("fp8", "fp8_block") and "quantization_config" not in config:
        config["quantization_config"] = FP8
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(config))
    return place
