"""Every `model_type` that is built, and those that go by another one's row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lydite.errors import InputError
from lydite.models.dimensions import Decoder
from lydite.models.huggingface import encoders, encoders_own, halves, sequences, sight
from lydite.models.huggingface.conditioned import FAMILIES as CONDITIONED
from lydite.models.huggingface.config import Config
from lydite.models.huggingface.dense import FAMILIES as DENSE
from lydite.models.huggingface.experts import FAMILIES as EXPERTS
from lydite.models.huggingface.family import Family, decoder
from lydite.models.huggingface.gated import FAMILIES as GATED
from lydite.models.huggingface.gemma import FAMILIES as GEMMA
from lydite.models.huggingface.gpt import FAMILIES as GPT
from lydite.models.huggingface.heads import classes, head_of
from lydite.models.huggingface.latent import FAMILIES as LATENT
from lydite.models.huggingface.linear import FAMILIES as LINEAR
from lydite.models.huggingface.qwen4 import FAMILIES as QWEN4
from lydite.models.huggingface.recurrent import FAMILIES as RECURRENT
from lydite.models.huggingface.sparse import FAMILIES as SPARSE
from lydite.models.huggingface.special import FAMILIES as SPECIAL
from lydite.models.huggingface.states import FAMILIES as STATES
from lydite.models.huggingface.zamba import FAMILIES as ZAMBA
from lydite.records import dataclass


@dataclass(frozen=True)
class ConfigType:
    """How the configs of one `model_type` are built.

    Attributes:
        build: "module:function" that takes the dimensions.
        read: The dimensions of a config.
        options: Options that the builder takes beside batch and dtype.
    """

    build: str
    read: Callable[[Config], Any]
    options: tuple[str, ...]


_FAMILIES = {
    **DENSE,
    **GPT,
    **EXPERTS,
    **LATENT,
    **GATED,
    **GEMMA,
    **SPARSE,
    **STATES,
    **LINEAR,
    **QWEN4,
    **RECURRENT,
    **SPECIAL,
    **ZAMBA,
    **CONDITIONED,
}
_OTHERS = {**encoders.TYPES, **encoders_own.TYPES, **sequences.TYPES, **halves.TYPES, **sight.TYPES}

ALIASES = {
    "cwm": "llama",
    "granite_docling_text": "granite",
    "exaone4_5_text": "exaone4",
    "glm4v_moe_text": "glm4_moe",
    "RefinedWeb": "falcon",
    "RefinedWebModel": "falcon",
    "dream": "qwen2",
    "deepseek_ocr2_text": "deepseek",
    "glm_image_text": "glm4v_text",
    "granite4_vision_text": "granite",
    "hunyuan_vl_text": "hunyuan_v1_dense",
    "minimax_m1": "minimax",
    "minimax_text_01": "minimax",
    "skywork": "llama",
    "stablelm_epoch": "stablelm",
    "xverse": "llama",
    "gpt-sw3": "gpt2",
    "iquestcoder": "llama",
    "kimi_k25_text": "deepseek_v3",
    "pixtral_text": "mistral",
    "phi3_v": "phi3",
    "bailing_moe_v2": "bailing_moe",
    "qwen2_5_omni_text": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen2_vl_text": "qwen2",
    "qwen3_vl_moe_text": "qwen3_moe",
    "qwen3_vl_text": "qwen3",
    "solar_open": "glm4_moe",
    "voxtral_text": "llama",
    "llama_bidirectional": "llama",
    "minicpm_text": "minicpm",
    "emu3_text_model": "llama",
    "phi4mm": "phi3",
    "phi4_multimodal": "phi3",
    "deepseek_vl_v2": "deepseek_v2",
}
"""Types that are built as another one."""

TEXT_OF = {
    "blip": "blip_text_model",
    "dots3_note": "dots3_note_text",
    "emu3": "llama",
    "ernie4_5_vl_moe": "ernie4_5_vl_moe_text",
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_unified_text",
    "glm4v": "glm4v_text",
    "glm4v_moe": "glm4v_moe_text",
    "hunyuan_vl": "hunyuan_vl_text",
    "idefics3": "llama",
    "inkling2": "inkling2_text",
    "inkling_mm_model": "inkling_text",
    "internvl": "qwen2",
    "internvl_chat": "internlm2",
    "kimi_vl": "deepseek_v3",
    "kosmos-2": "kosmos_2_text_model",
    "kosmos-2.5": "kosmos_2_5_text_model",
    "llama4": "llama4_text",
    "llava": "llama",
    "llava_next": "llama",
    "llava_onevision": "qwen2",
    "mistral3": "mistral",
    "mllama": "mllama_text_model",
    "paligemma": "gemma",
    "pix2struct": "pix2struct_text_model",
    "pp_formulanet": "pp_formulanet_text",
    "qwen2_5_omni_thinker": "qwen2_5_omni_text",
    "qwen3_omni_moe_thinker": "qwen3_omni_moe_text",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen2_audio": "qwen2",
    "qwen2_vl": "qwen2_vl_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen4_exp": "qwen4_exp_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "paddleocr_vl": "paddleocr_vl_text",
    "smolvlm": "llama",
    "unlimited_ocr": "unlimited_ocr_text",
    "step3p7": "step3p5",
    "t5gemma2": "t5gemma2_decoder",
    "voxtral": "llama",
}
"""Type of the language part of a model that sees or hears, where the part does not say it."""


_SCORES = ("", "ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForVisionText2Text")
"""Heads that give scores of the next token."""

NOT_BUILT = {
    "blt": "its patches are as long as the bytes of a text make them",
    "pi0": "it writes motions, which take several passes of another model, and no text",
}
"""Types of text generation in transformers that are refused, and why."""

DECODER_OPTIONS = ("sequence", "context", "phase", "kv_ranks")


def _language_model(family: Family) -> ConfigType:
    def read(c: Config) -> Decoder:
        return _with_head(c, decoder(c, family))

    return ConfigType("lydite.models.decoder:decoder", read, DECODER_OPTIONS)


def _with_head(c: Config, size: Decoder) -> Decoder:
    """The head that `architectures` names; scores of the next token where nothing is said."""
    named = head_of(c)
    if named == "ForSequenceClassification":
        return replace(size, head="classes", classes=classes(c))
    if named in ("Model", "TextModel"):
        return replace(size, head="")
    if named in _SCORES:
        return size
    raise InputError(
        f"the head '{named}' of architectures is not built",
        where=c.where,
        allowed="ForCausalLM, ForSequenceClassification, Model",
    )


TYPES: dict[str, ConfigType] = {
    **{name: _language_model(family) for name, family in _FAMILIES.items()},
    **{name: _language_model(_FAMILIES[other]) for name, other in ALIASES.items()},
    **{name: ConfigType(build, read, options) for name, (build, read, options) in _OTHERS.items()},
}
"""Rows by `model_type`."""
