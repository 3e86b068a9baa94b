"""Configs of BERT and its like."""

from __future__ import annotations

from typing import Any

from lydite.errors import InputError
from lydite.models.dimensions import (
    Encoder,
)
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.heads import classes, head_of
from lydite.models.huggingface.rows import Row, checked

_HEADS = {
    "": "pooler",
    "Model": "pooler",
    "ForMaskedLM": "scores",
    "ForCausalLM": "scores",
    "LMHeadModel": "scores",
    "ForQuestionAnswering": "answer",
    "ForTokenClassification": "tags",
    "ForSequenceClassification": "classes",
}
"""Head of an encoder by the end of the class's name."""


def _head(c: Config) -> str:
    named = head_of(c)
    if named not in _HEADS:
        allowed = ", ".join(name for name in _HEADS if name)
        raise InputError(
            f"the head '{named}' of architectures is not built", where=c.where, allowed=allowed
        )
    return _HEADS[named]


def _encoder(c: Config, *, types: int, eps: float, **changes: Any) -> Encoder:
    c.only("position_embedding_type", "absolute")
    c.only("is_decoder", False)
    c.only("add_cross_attention", False)
    hidden = c.size("hidden_size", "dim")
    values: dict[str, Any] = {
        "layers": c.size("num_hidden_layers", "n_layers"),
        "hidden": hidden,
        "heads": c.size("num_attention_heads", "n_heads"),
        "feed_forward": c.size("intermediate_size", "hidden_dim"),
        "vocabulary": c.size("vocab_size"),
        "positions": c.size("max_position_embeddings", default=512),
        "token_types": c.size("type_vocab_size", default=types, low=0),
        "activation": c.activation("hidden_act", "activation", default="gelu"),
        "eps": c.number("layer_norm_eps", default=eps),
        "head": _head(c),
        "classes": classes(c),
    }
    if changes.get("position_offset"):
        values["positions"] = max(1, values["positions"] - changes["position_offset"])
    return checked(c, Encoder, {**values, **changes})


def _bert(c: Config) -> Encoder:
    return _encoder(c, types=2, eps=1e-12)


def _roberta(c: Config) -> Encoder:
    """Positions begin behind the padding token's; no input chooses the token type."""
    return _encoder(c, types=2, eps=1e-12, position_offset=2, type_inputs=False)


def _distilbert(c: Config) -> Encoder:
    c.skip("sinusoidal_pos_embds", "tie_weights_")
    head = _head(c)
    return _encoder(
        c,
        types=0,
        eps=1e-12,
        type_inputs=False,
        relu_pooler=True,
        head="states" if head == "pooler" else head,
    )


def _ernie(c: Config) -> Encoder:
    tasks = c.size("task_type_vocab_size", default=3) if c.flag("use_task_id", default=False) else 0
    return _encoder(c, types=2, eps=1e-12, task_types=tasks)


_BERT = "lydite.models.bert:bert"


TYPES: dict[str, Row] = {
    "bert": (_BERT, _bert, ("sequence",)),
    "roberta": (_BERT, _roberta, ("sequence",)),
    "xlm-roberta": (_BERT, _roberta, ("sequence",)),
    "camembert": (_BERT, _roberta, ("sequence",)),
    "distilbert": (_BERT, _distilbert, ("sequence",)),
    "ernie": (_BERT, _ernie, ("sequence",)),
}
"""Builder, reader and options by `model_type`."""
