"""Configs of BERT and its like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lydite.errors import InputError
from lydite.models.dimensions_encoders import Encoder
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
    "ForPreTraining": "replaced",
}
"""Head of an encoder by the end of the class's name."""


_SUMMED = {"ForQuestionAnswering", "ForSequenceClassification"}
_OWN_HEADS = {"big_bird": _SUMMED, "xlm": _SUMMED, "xlnet": _SUMMED}
"""Heads that are other products than BERT's, by type."""


_ONE_BIAS = {"distilbert", "electra", "rembert", "xlm", "xlnet"}
"""Types whose scores have one bias where their weight is not the embedding; others keep two."""


def head_kind(c: Config) -> str:
    """The head that `architectures` names, as `Encoder` has it.

    Raises:
        InputError: it is not built for this type.
    """
    named = head_of(c)
    only = {"ForPreTraining"} if c.type != "electra" else set()
    only |= _OWN_HEADS.get(c.type, set())
    if named not in _HEADS.keys() - only:
        allowed = ", ".join(name for name in _HEADS if name and name not in only)
        raise InputError(
            f"the head '{named}' of architectures is not built", where=c.where, allowed=allowed
        )
    return _HEADS[named]


def encoder(c: Config, *, types: int, eps: float, **changes: Any) -> Encoder:
    """An encoder whose fields are named as in BERT; `types` and `eps` are usual values."""
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
        "head": head_kind(c),
        "classes": classes(c),
        "tied": c.flag("tie_word_embeddings", default=True),
    }
    values["idle_bias"] = c.type not in _ONE_BIAS
    if changes.get("position_offset"):
        values["positions"] = max(1, values["positions"] - changes["position_offset"])
    return checked(c, Encoder, {**values, **changes})


def _bert(c: Config) -> Encoder:
    return encoder(c, types=2, eps=1e-12)


def _roberta(c: Config) -> Encoder:
    """Positions begin behind the padding token's; no input chooses the token type."""
    return encoder(c, types=2, eps=1e-12, position_offset=2, type_inputs=False)


def _distilbert(c: Config) -> Encoder:
    c.skip("sinusoidal_pos_embds", "tie_weights_")
    head = head_kind(c)
    return encoder(
        c,
        types=0,
        eps=1e-12,
        type_inputs=False,
        relu_pooler=True,
        head="states" if head == "pooler" else head,
    )


def _ernie(c: Config) -> Encoder:
    tasks = c.size("task_type_vocab_size", default=3) if c.flag("use_task_id", default=False) else 0
    return encoder(c, types=2, eps=1e-12, task_types=tasks)


def _electra(c: Config) -> Encoder:
    """Narrower embeddings, which are projected to the layers (ELECTRA, arXiv:2003.10555)."""
    c.skip("summary_last_dropout", "generator_hidden_size")
    head = head_kind(c)
    return encoder(
        c,
        types=2,
        eps=1e-12,
        embedding=c.size("embedding_size", default=128),
        head="states" if head == "pooler" else head,
    )


def _roformer(c: Config) -> Encoder:
    """Positions that turn queries and keys (RoFormer, arXiv:2104.09864)."""
    c.only("rotary_value", False)
    head = head_kind(c)
    return encoder(
        c,
        types=2,
        eps=1e-12,
        embedding=c.size("embedding_size", default=c.size("hidden_size")),
        rotary=True,
        head="states" if head == "pooler" else head,
    )


def _rembert(c: Config) -> Encoder:
    """Embeddings of one width going in and of another coming out (RemBERT, arXiv:2010.12821)."""
    c = c if "type_vocab_size" in c.data else c.changed({"type_vocab_size": 2})
    return encoder(
        c,
        types=2,
        eps=1e-12,
        embedding=c.size("input_embedding_size", default=256),
        transform=c.size("output_embedding_size", default=1664),
        tied=c.flag("tie_word_embeddings", default=False),
    )


def _normed_before(
    *, embedding_norm: bool, offset: int = 0, eps: float = 1e-12
) -> Callable[[Config], Encoder]:
    """BERT and RoBERTa with norms ahead of their parts."""

    def read(c: Config) -> Encoder:
        rest: dict[str, Any] = {"position_offset": offset, "type_inputs": not offset}
        return encoder(c, types=2, eps=eps, order="before", embedding_norm=embedding_norm, **rest)

    return read


def _bert_generation(c: Config) -> Encoder:
    """BERT without token types and summary, whose scores are one product."""
    name = next(iter(c.texts("architectures") or ()), "")
    head = "scores" if name.endswith("Decoder") else head_kind(c)
    return encoder(
        c,
        types=0,
        eps=1e-12,
        type_inputs=False,
        plain_scores=True,
        head="states" if head == "pooler" else head,
    )


BERT = "lydite.models.bert:bert"


TYPES: dict[str, Row] = {
    "bert": (BERT, _bert, ("sequence",)),
    "roberta": (BERT, _roberta, ("sequence",)),
    "xlm-roberta": (BERT, _roberta, ("sequence",)),
    "camembert": (BERT, _roberta, ("sequence",)),
    "distilbert": (BERT, _distilbert, ("sequence",)),
    "ernie": (BERT, _ernie, ("sequence",)),
    "bert-generation": (BERT, _bert_generation, ("sequence",)),
    "data2vec-text": (BERT, _roberta, ("sequence",)),
    "electra": (BERT, _electra, ("sequence",)),
    "megatron-bert": (BERT, _normed_before(embedding_norm=False), ("sequence",)),
    "rembert": (BERT, _rembert, ("sequence",)),
    "roformer": (BERT, _roformer, ("sequence",)),
    "roberta-prelayernorm": (
        BERT,
        _normed_before(embedding_norm=True, offset=2),
        ("sequence",),
    ),
    "xlm-roberta-xl": (
        BERT,
        _normed_before(embedding_norm=False, offset=2, eps=1e-5),
        ("sequence",),
    ),
}
"""Builder, reader and options by `model_type`."""
