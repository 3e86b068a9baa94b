"""The configs of transformers that are understood: one row for each `model_type`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lydite.models.dimensions import Decoder, Encoder, TextEncoder, VisionEncoder

REQUIRED = object()
"""The default of a field that a file must have."""


@dataclass(frozen=True)
class Field:
    """A field that decides the graph.

    Attributes:
        dimensions: what it sets; nothing where only one value can be built.
        check: gives the dimension's value; raises ValueError with what is allowed.
        default: the dimension where the file leaves the field out; None for what others say.
    """

    dimensions: tuple[str, ...]
    check: Callable[[Any], Any]
    default: Any = REQUIRED


@dataclass(frozen=True)
class ConfigType:
    """One `model_type`.

    Attributes:
        name: as in the file.
        build: "module:function" that takes the dimensions.
        dimensions: their class.
        fields: those that decide the graph.
        fixed: dimensions that all models of the type share, where no field says otherwise.
        options: what the builder takes beside batch and dtype.
        ignored: fields of this type that do not matter to the graph.
    """

    name: str
    build: str
    dimensions: Callable[..., Any]
    fields: Mapping[str, Field]
    fixed: Mapping[str, Any]
    options: tuple[str, ...]
    ignored: frozenset[str] = field(default_factory=frozenset)


def _whole(low: int, high: int = 2**31 - 1) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e30:
        raise ValueError("a number above 0")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _only(*values: Any) -> Field:
    """A field of which only these values can be built."""

    def check(value: Any) -> None:
        if not any(type(value) is type(known) and value == known for known in values):
            raise ValueError(f"{' or '.join(map(json.dumps, values))}; nothing else is built")

    return Field((), check, None)


_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
}


def _activation(value: Any) -> str:
    if not isinstance(value, str) or value not in _ACTIVATIONS:
        raise ValueError(", ".join(_ACTIVATIONS))
    return _ACTIVATIONS[value]


def _theta(value: Any) -> float | None:
    """The base among the rotary parameters; their scaling does not change the work."""
    if not isinstance(value, dict) or value.get("partial_rotary_factor", 1) != 1:
        raise ValueError("an object with rope_theta, and with no partial_rotary_factor")
    return _optional(_positive)(value.get("rope_theta"))


def _scaling(value: Any) -> None:
    if not isinstance(value, dict):
        raise ValueError("null or an object")


def _labels(value: Any) -> int:
    if not isinstance(value, dict) or not value:
        raise ValueError("an object with a name for each class")
    return len(value)


def _full_layers(value: Any) -> None:
    if not isinstance(value, list) or set(map(str, value)) - {"full_attention"}:
        raise ValueError('a list of "full_attention"; nothing else is built')


_SIZE = _whole(1)
_LAYERS = _whole(1, 10_000)


def _sized(**names: str) -> dict[str, Field]:
    """Required sizes: field = dimension."""
    return {
        name: Field((dimension,), _LAYERS if dimension == "layers" else _SIZE)
        for name, dimension in names.items()
    }


_COMMON = _sized(
    hidden_size="hidden",
    num_hidden_layers="layers",
    num_attention_heads="heads",
)
_INNER = _sized(intermediate_size="feed_forward")
_WORDS = _sized(vocab_size="vocabulary")
_ROTARY = {
    **_COMMON,
    **_INNER,
    **_WORDS,
    "hidden_act": Field(("activation",), _activation, "silu"),
    "head_dim": Field(("head_size",), _optional(_SIZE), None),
    "rms_norm_eps": Field(("eps",), _positive, 1e-6),
    "rope_theta": Field(("rope_theta",), _optional(_positive), None),
    "rope_parameters": Field(("rope_theta",), _optional(_theta), None),
    "rope_scaling": Field((), _optional(_scaling), None),
    "tie_word_embeddings": Field(("tied",), _flag, False),
}
_ROTARY_FIXED = {
    "norm": "rms",
    "gated": True,
    "rope_theta": 1e4,
    "qkv_bias": False,
    "output_bias": False,
    "dense_bias": False,
}


def _positions(default: int) -> dict[str, Field]:
    return {"max_position_embeddings": Field(("positions",), _SIZE, default)}


def _shared(default: int | None) -> dict[str, Field]:
    return {"num_key_value_heads": Field(("kv_heads",), _optional(_SIZE), default)}


def _window(default: int | None) -> dict[str, Field]:
    return {"sliding_window": Field(("windowed",), _optional(_SIZE), default)}


def _decoder(
    name: str, fields: Mapping[str, Field], fixed: Mapping[str, Any], *ignored: str
) -> ConfigType:
    return ConfigType(
        name,
        "lydite.models.decoder:decoder",
        Decoder,
        fields,
        fixed,
        ("sequence", "context", "phase"),
        frozenset(ignored),
    )


_ROWS = (
    _decoder(
        "gpt2",
        {
            **_WORDS,
            **_sized(n_embd="hidden", n_layer="layers", n_head="heads"),
            "n_positions": Field(("positions",), _SIZE, 1024),
            "n_inner": Field(("feed_forward",), _optional(_SIZE), None),
            "activation_function": Field(("activation",), _activation, "gelu_tanh"),
            "layer_norm_epsilon": Field(("eps",), _positive, 1e-5),
            "tie_word_embeddings": Field(("tied",), _flag, True),
            "scale_attn_weights": _only(True),
            "scale_attn_by_inverse_layer_idx": _only(False),
        },
        {"packed": True},
        "n_ctx",
        "resid_pdrop",
        "embd_pdrop",
        "attn_pdrop",
        "reorder_and_upcast_attn",
        "summary_type",
        "summary_use_proj",
        "summary_activation",
        "summary_proj_to_labels",
        "summary_first_dropout",
    ),
    _decoder(
        "opt",
        {
            **_COMMON,
            **_WORDS,
            **_sized(ffn_dim="feed_forward"),
            **_positions(2048),
            "word_embed_proj_dim": Field(("embedding",), _optional(_SIZE), None),
            "activation_function": Field(("activation",), _activation, "relu"),
            "enable_bias": Field(("qkv_bias", "output_bias", "dense_bias"), _flag, True),
            "tie_word_embeddings": Field(("tied",), _flag, True),
            "do_layer_norm_before": _only(True),
            "_remove_final_layer_norm": _only(False),
            "layer_norm_elementwise_affine": _only(True),
        },
        {"position_offset": 2},
        "dropout",
        "layerdrop",
        "init_std",
        "prefix",
    ),
    _decoder(
        "llama",
        {
            **_ROTARY,
            **_positions(2048),
            **_shared(None),
            "attention_bias": Field(("qkv_bias", "output_bias"), _flag, False),
            "mlp_bias": Field(("dense_bias",), _flag, False),
        },
        _ROTARY_FIXED,
        "pretraining_tp",
    ),
    _decoder(
        "mistral", {**_ROTARY, **_positions(131072), **_shared(8), **_window(4096)}, _ROTARY_FIXED
    ),
    _decoder(
        "mixtral",
        {
            **_ROTARY,
            **_positions(131072),
            **_shared(8),
            **_window(None),
            "hidden_act": _only("silu", "swish"),
            "rms_norm_eps": Field(("eps",), _positive, 1e-5),
            "num_local_experts": Field(("experts",), _LAYERS, 8),
            "num_experts_per_tok": Field(("experts_per_token",), _LAYERS, 2),
        },
        {**_ROTARY_FIXED, "activation": "silu", "rope_theta": 1e6},
        "output_router_logits",
        "router_aux_loss_coef",
        "router_jitter_noise",
    ),
    _decoder(
        "qwen2",
        {
            **_ROTARY,
            **_positions(32768),
            **_shared(32),
            "use_sliding_window": _only(False),
            "layer_types": Field((), _optional(_full_layers), None),
        },
        {**_ROTARY_FIXED, "qkv_bias": True},
        "sliding_window",
        "max_window_layers",
    ),
    ConfigType(
        "bert",
        "lydite.models.bert:bert",
        Encoder,
        {
            **_COMMON,
            **_INNER,
            **_WORDS,
            **_positions(512),
            "type_vocab_size": Field(("token_types",), _SIZE, 2),
            "hidden_act": Field(("activation",), _activation, "gelu"),
            "layer_norm_eps": Field(("eps",), _positive, 1e-12),
            "position_embedding_type": _only("absolute"),
            "is_decoder": _only(False),
        },
        {},
        ("sequence",),
        frozenset(
            (
                "hidden_dropout_prob",
                "attention_probs_dropout_prob",
                "classifier_dropout",
                "tie_word_embeddings",
                "gradient_checkpointing",
            )
        ),
    ),
    ConfigType(
        "vit",
        "lydite.models.vit:vision_transformer",
        VisionEncoder,
        {
            **_COMMON,
            **_INNER,
            "image_size": Field(("image_size",), _SIZE, 224),
            "patch_size": Field(("patch",), _SIZE, 16),
            "num_channels": Field(("channels",), _SIZE, 3),
            "num_labels": Field(("classes",), _SIZE, None),
            "id2label": Field(("classes",), _optional(_labels), None),
            "hidden_act": Field(("activation",), _activation, "gelu"),
            "layer_norm_eps": Field(("eps",), _positive, 1e-12),
            "qkv_bias": Field(("qkv_bias",), _flag, True),
        },
        {"classes": 2},
        (),
        frozenset(
            (
                "hidden_dropout_prob",
                "attention_probs_dropout_prob",
                "encoder_stride",
                "pooler_output_size",
                "pooler_act",
            )
        ),
    ),
    ConfigType(
        "clip_text_model",
        "lydite.models.vit:text_encoder",
        TextEncoder,
        {
            **_COMMON,
            **_INNER,
            **_WORDS,
            **_positions(77),
            "projection_dim": Field(("projection",), _SIZE, 512),
            "hidden_act": Field(("activation",), _activation, "quick_gelu"),
            "layer_norm_eps": Field(("eps",), _positive, 1e-5),
        },
        {},
        ("sequence",),
        frozenset(("initializer_factor", "dropout")),
    ),
    ConfigType(
        "clip_vision_model",
        "lydite.models.vit:vision_transformer",
        VisionEncoder,
        {
            **_COMMON,
            **_INNER,
            "image_size": Field(("image_size",), _SIZE, 224),
            "patch_size": Field(("patch",), _SIZE, 32),
            "num_channels": Field(("channels",), _SIZE, 3),
            "projection_dim": Field(("classes",), _SIZE, 512),
            "hidden_act": Field(("activation",), _activation, "quick_gelu"),
            "layer_norm_eps": Field(("eps",), _positive, 1e-5),
        },
        {"clip": True},
        (),
        frozenset(("initializer_factor", "dropout")),
    ),
)

_NEVER = {"is_encoder_decoder": _only(False), "add_cross_attention": _only(False)}

TYPES = {row.name: replace(row, fields={**row.fields, **_NEVER}) for row in _ROWS}
"""Rows by `model_type`; "clip" is its two parts."""

IGNORED = frozenset(
    (
        "model_type",
        "dtype",
        "torch_dtype",
        "architectures",
        "transformers_version",
        "use_cache",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "sep_token_id",
        "cls_token_id",
        "decoder_start_token_id",
        "id2label",
        "label2id",
        "num_labels",
        "problem_type",
        "finetuning_task",
        "task_specific_params",
        "_name_or_path",
        "auto_map",
        "return_dict",
        "output_hidden_states",
        "output_attentions",
        "output_scores",
        "torchscript",
        "initializer_range",
        "attention_dropout",
        "activation_dropout",
        "dropout",
        "layerdrop",
        "chunk_size_feed_forward",
        "use_bfloat16",
        "tf_legacy_loss",
        "_attn_implementation",
        "_commit_hash",
        "tokenizer_class",
        "prefix",
        "pruned_heads",
        "tie_encoder_decoder",
        "cross_attention_hidden_size",
        "max_length",
        "min_length",
        "do_sample",
        "early_stopping",
        "num_beams",
        "num_beam_groups",
        "diversity_penalty",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
        "repetition_penalty",
        "length_penalty",
        "no_repeat_ngram_size",
        "encoder_no_repeat_ngram_size",
        "bad_words_ids",
        "num_return_sequences",
        "return_dict_in_generate",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "remove_invalid_values",
        "exponential_decay_length_penalty",
        "suppress_tokens",
        "begin_suppress_tokens",
    )
)
"""Fields of every config that do not matter to the graph: training, generation, book-keeping."""
