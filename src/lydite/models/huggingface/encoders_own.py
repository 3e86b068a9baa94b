"""Configs of encoders with parts that BERT has not."""

from __future__ import annotations

from lydite.models.dimensions_encoders import Encoder
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.encoders import BERT, encoder, head_kind
from lydite.models.huggingface.rows import Row, blocks_of

_UNLIMITED = 1 << 20
"""Positions of a model that has no table of them and names no longest sequence."""


def _big_bird(c: Config) -> Encoder:
    """BERT whose blocks of tokens attend to some of the others (BigBird, arXiv:2007.14062)."""
    return encoder(
        c,
        types=2,
        eps=1e-12,
        qkv_bias=c.flag("use_bias", default=True),
        activation=c.activation("hidden_act", default="gelu_new"),
        idle_summary=head_kind(c) != "pooler",
        **blocks_of(c),
    )


def _roc_bert(c: Config) -> Encoder:
    """BERT with tables of a token's look and sound beside its word."""
    for field in ("concat_input", "enable_shape", "enable_pronunciation"):
        c.only(field, True)
    names = (("shape", 24858, 512), ("pronunciation", 910, 768))
    glyphs = tuple(
        (c.size(f"{n}_vocab_size", default=rows), c.size(f"{n}_embed_dim", default=width))
        for n, rows, width in names
    )
    return encoder(c, types=2, eps=1e-12, glyphs=glyphs)


def _xmod(c: Config) -> Encoder:
    """RoBERTa with two products for each language behind a layer's dense part (X-MOD)."""
    languages = c.texts("languages") or ["en_XX"]
    hidden, factor = c.size("hidden_size"), c.size("adapter_reduction_factor", default=2)
    shared = c.flag("adapter_reuse_layer_norm", default=True)
    own = c.flag("adapter_layer_norm", default=False)
    c.skip("default_language")
    if len(languages) > 1:
        c.say(f"all tokens of a batch are of one of the {len(languages)} languages")
    return encoder(
        c,
        types=2,
        eps=1e-12,
        position_offset=2,
        type_inputs=False,
        order="before" if c.flag("pre_norm", default=False) else "last",
        adapters=len(languages),
        adapter=max(1, hidden // factor),
        adapter_norm="own" if own else "shared" if shared else "",
        adapter_on_normed=c.flag("ln_before_adapter", default=True),
    )


def _xlm(c: Config) -> Encoder:
    """BERT's layers with a table of languages, and scores of one product (XLM)."""
    c.only("causal", False)
    c.only("asm", False)
    c.only("is_encoder", True)
    c.skip("sinusoidal_embeddings", "embed_init_std", "unk_index", "mask_index", "lang_id")
    c.skip("start_n_top", "end_n_top")
    c.skip("id2lang", "lang2id", "max_vocab", "min_count", "eos_index", "pad_index", "bos_index")
    c = c.renamed({"emb_dim": "hidden_size", "n_words": "vocab_size"})
    languages = c.size("n_langs", default=1)
    head = head_kind(c)
    return encoder(
        c.changed({"intermediate_size": 4 * c.size("hidden_size", default=2048)}),
        types=0,
        eps=1e-12,
        type_inputs=False,
        token_types=0,
        activation="gelu" if c.flag("gelu_activation", default=True) else "relu",
        languages=languages if languages > 1 and c.flag("use_lang_emb", default=True) else 0,
        masked=True,
        plain_scores=True,
        head="states" if head == "pooler" else head,
    )


def _xlnet(c: Config) -> Encoder:
    """Attention of content, distance and segment, to all tokens (XLNet, arXiv:1906.08237)."""
    c.only("attn_type", "bi")
    c.only("bi_data", False)
    c.skip("start_n_top", "end_n_top")
    c.skip("mem_len", "reuse_len", "use_mems_eval", "use_mems_train", "clamp_len", "same_length")
    names = {
        "d_model": "hidden_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "d_inner": "intermediate_size",
        "ff_activation": "hidden_act",
    }
    c = c.renamed(names)
    width, heads = c.size("hidden_size"), c.size("num_attention_heads")
    if c.size("d_head", default=width // heads) * heads != width:
        raise c.refuse("d_head", "d_model / n_head")
    head = head_kind(c)
    return encoder(
        c,
        types=2,
        eps=1e-12,
        positions=_UNLIMITED,
        embedding_norm=False,
        relative=True,
        plain_scores=True,
        head="states" if head == "pooler" else head,
    )


TYPES: dict[str, Row] = {
    "big_bird": (BERT, _big_bird, ("sequence",)),
    "roc_bert": (BERT, _roc_bert, ("sequence",)),
    "xlm": (BERT, _xlm, ("sequence",)),
    "xlnet": (BERT, _xlnet, ("sequence",)),
    "xmod": (BERT, _xmod, ("sequence",)),
}
"""Builder, reader and options by `model_type`."""
