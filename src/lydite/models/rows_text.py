"""Transformers that read a text or see a picture whole, or paint with the same layers."""

from __future__ import annotations

from typing import Any

from lydite.models.dimensions import lazily
from lydite.models.dimensions_encoders import Encoder
from lydite.models.dimensions_towers import TextEncoder, VisionEncoder
from lydite.models.info import ModelInfo, Published

_COUNTED = "transformers' modules, FlopCounterMode"


def _encoder(
    name: str,
    family: str,
    size: Encoder,
    sequence: int,
    published: Published,
    source: str,
    about: str,
) -> ModelInfo:
    return ModelInfo(
        name,
        family,
        lazily("lydite.models.bert:bert", size),
        {"sequence": sequence},
        source,
        about,
        {"sequence": (1, size.positions)},
        published=published,
    )


_BERT = "Devlin et al., BERT, arXiv:1810.04805"
_BASE: dict[str, Any] = {"layers": 12, "hidden": 768, "heads": 12, "feed_forward": 3072}
_LARGE: dict[str, Any] = {"layers": 24, "hidden": 1024, "heads": 16, "feed_forward": 4096}
_WORDS: dict[str, Any] = {"vocabulary": 30522, "positions": 512}
_ERNIE: dict[str, Any] = {"vocabulary": 40000, "positions": 2048, "token_types": 4, "task_types": 3}

_ENCODERS = (
    _encoder(
        "bert-base",
        "BERT",
        Encoder(**_BASE, **_WORDS),
        128,
        Published(109_482_240, 11_174_215_680, _COUNTED),
        f"{_BERT}: 12 layers of width 768, uncased vocabulary",
        "transformer encoder with pooler, no head",
    ),
    _encoder(
        "bert-large",
        "BERT",
        Encoder(**_LARGE, **_WORDS),
        128,
        Published(335_141_888, 39_461_060_608, _COUNTED),
        f"{_BERT}: 24 layers of width 1024, uncased vocabulary",
        "transformer encoder with pooler, no head",
    ),
    _encoder(
        "bert-large-squad",
        "BERT",
        Encoder(**_LARGE, **_WORDS, head="answer"),
        384,
        Published(334_094_338, 123_212_660_736, _COUNTED),
        f"{_BERT}, with the question-answering head of MLPerf Inference's bert-99",
        "where in a text the answer starts and ends",
    ),
    _encoder(
        "ernie3",
        "ERNIE",
        Encoder(**_BASE, **_ERNIE),
        256,
        Published(117_944_832, 22_951_821_312, _COUNTED),
        "Sun et al., ERNIE 3.0, arXiv:2107.02137 (ernie-3.0-base-zh)",
        "BERT base with a Chinese vocabulary and task embeddings",
    ),
)


_CLIP_TEXT: dict[str, Any] = {"vocabulary": 49408, "positions": 77, "activation": "quick_gelu"}
_CLIP = "Radford et al., CLIP, arXiv:2103.00020"


def _clip_text(name: str, size: TextEncoder, source: str, published: Published) -> ModelInfo:
    return ModelInfo(
        name,
        "CLIP",
        lazily("lydite.models.vit:text_encoder", size),
        {"sequence": 77},
        source,
        "causal text encoder",
        {"sequence": (1, size.positions)},
        published=published,
    )


def _vision(
    name: str, family: str, size: VisionEncoder, source: str, published: Published
) -> ModelInfo:
    return ModelInfo(
        name,
        family,
        lazily("lydite.models.vit:vision_transformer", size),
        {"image_size": size.image_size},
        source,
        "transformer over patches of an image",
        {"image_size": (size.image_size, size.image_size)},
        published=published,
    )


_VIT = "Dosovitskiy et al., An Image is Worth 16x16 Words, arXiv:2010.11929: ViT-B/16"
_SD = "Rombach et al., High-Resolution Image Synthesis with Latent Diffusion, arXiv:2112.10752"
_PAINTED = "diffusers' modules, FlopCounterMode"

_IMAGES = (
    _vision(
        "vit",
        "ViT",
        VisionEncoder(**_BASE, patch=16, classes=1000, eps=1e-6),
        _VIT,
        Published(86_567_656, 17_563_828_224, _COUNTED),
    ),
    _vision(
        "clip-image",
        "CLIP",
        VisionEncoder(**_BASE, patch=32, classes=512, activation="quick_gelu", clip=True),
        f"{_CLIP}: openai/clip-vit-base-patch32",
        Published(87_849_216, 4_408_811_520, _COUNTED),
    ),
    ModelInfo(
        "sd15-unet",
        "Stable Diffusion",
        "lydite.models.diffusion:unet",
        {"image_size": 512, "sequence": 77},
        f"{_SD}: version 1.5",
        "one step of denoising: convolutions, and attention over positions and to a text",
        {"image_size": (64, None), "sequence": (1, None)},
        published=Published(859_520_964, 401_636_720_640, _PAINTED),
    ),
    ModelInfo(
        "sd15-vae-decoder",
        "Stable Diffusion",
        "lydite.models.diffusion:vae_decoder",
        {"image_size": 512},
        f"{_SD}: version 1.5",
        "latents to pixels: convolutions at full size",
        {"image_size": (8, None)},
        published=Published(49_490_199, 1_257_259_466_752, _PAINTED),
    ),
)

ROWS = (
    *_ENCODERS,
    _clip_text(
        "clip-text",
        TextEncoder(
            layers=12, hidden=512, heads=8, feed_forward=2048, projection=512, **_CLIP_TEXT
        ),
        f"{_CLIP}: openai/clip-vit-base-patch32",
        Published(63_428_096, 2_979_770_368, _COUNTED),
    ),
    _clip_text(
        "sd15-text-encoder",
        TextEncoder(layers=12, hidden=768, heads=12, feed_forward=3072, **_CLIP_TEXT),
        f"{_CLIP}: ViT-L/14's, as in Stable Diffusion 1.5",
        Published(123_060_480, 6_649_251_840, _COUNTED),
    ),
    *_IMAGES,
)
