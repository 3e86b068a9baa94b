"""Language models of the set by the fields of their published config.json."""

from __future__ import annotations

from typing import Any

from lydite.models.dimensions import PHASES, lazily
from lydite.models.info import ModelInfo, Published


def _configured(
    name: str, family: str, source: str, count: int, values: dict[str, Any]
) -> ModelInfo:
    """A language model by the fields of its published config.json."""
    limit = values["max_position_embeddings"]
    return ModelInfo(
        name,
        family,
        lazily("lydite.models.huggingface.build:graph_from_values", values),
        {"phase": "prefill", "sequence": 0, "context": 0, "kv_ranks": 1},
        source,
        f"{values['num_hidden_layers']} layers of width {values['hidden_size']}",
        {"sequence": (0, limit), "context": (0, limit - 1), "kv_ranks": (1, 1 << 12)},
        {"phase": PHASES},
        Published(count, None, "transformers' modules"),
    )


_QWEN3 = "Yang et al., Qwen3 Technical Report, arXiv:2505.09388, tables 1 and 2"
_DEEPSEEK3 = "DeepSeek-AI, DeepSeek-V3 Technical Report, arXiv:2412.19437, section 4.2"
_QWEN3_ALL: dict[str, Any] = {
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "rope_theta": 1000000,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}
_QWEN3_EXPERTS: dict[str, Any] = {
    **_QWEN3_ALL,
    "model_type": "qwen3_moe",
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "num_key_value_heads": 4,
}
_ROWS = (
    (
        "qwen3-32b",
        "Qwen3",
        _QWEN3,
        32_762_123_264,
        {
            **_QWEN3_ALL,
            "model_type": "qwen3",
            "hidden_size": 5120,
            "intermediate_size": 25600,
            "num_hidden_layers": 64,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
        },
    ),
    (
        "qwen3-30b-a3b",
        "Qwen3",
        _QWEN3,
        30_532_122_624,
        {
            **_QWEN3_EXPERTS,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "moe_intermediate_size": 768,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
        },
    ),
    (
        "qwen3-235b-a22b",
        "Qwen3",
        _QWEN3,
        235_093_634_560,
        {
            **_QWEN3_EXPERTS,
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "moe_intermediate_size": 1536,
            "num_hidden_layers": 94,
            "num_attention_heads": 64,
        },
    ),
    (
        "deepseek-v3",
        "DeepSeek",
        _DEEPSEEK3,
        671_026_404_352,
        {
            "model_type": "deepseek_v3",
            "hidden_size": 7168,
            "intermediate_size": 18432,
            "moe_intermediate_size": 2048,
            "num_hidden_layers": 61,
            "num_attention_heads": 128,
            "num_key_value_heads": 128,
            "n_routed_experts": 256,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "first_k_dense_replace": 3,
            "n_group": 8,
            "topk_group": 4,
            "kv_lora_rank": 512,
            "q_lora_rank": 1536,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "vocab_size": 129280,
            "max_position_embeddings": 163840,
            "tie_word_embeddings": False,
            "quantization_config": {
                "quant_method": "fp8",
                "fmt": "e4m3",
                "activation_scheme": "dynamic",
                "weight_block_size": [128, 128],
            },
        },
    ),
)

CONFIGURED = tuple(_configured(*row) for row in _ROWS)
