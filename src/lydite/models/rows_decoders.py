"""Transformers that write: language models by their dimensions, and those of config files."""

from __future__ import annotations

from typing import Any

from lydite.models.dimensions import PHASES, Decoder, lazily
from lydite.models.info import ModelInfo, Published
from lydite.models.rows_configured import CONFIGURED

_COUNTED = "transformers' modules, FlopCounterMode"


def _language_model(
    name: str, family: str, size: Decoder, source: str, published: Published, about: str = ""
) -> ModelInfo:
    limit = size.positions
    return ModelInfo(
        name,
        family,
        lazily("lydite.models.decoder:decoder", size),
        {"phase": "prefill", "sequence": 0, "context": 0, "kv_ranks": 1},
        source,
        about or f"{size.layers} layers of width {size.hidden}",
        {"sequence": (0, limit), "context": (0, limit - 1), "kv_ranks": (1, 1 << 12)},
        {"phase": PHASES},
        published,
    )


def _gpt(layers: int, hidden: int, heads: int, positions: int) -> Decoder:
    return Decoder(
        layers=layers,
        hidden=hidden,
        heads=heads,
        feed_forward=4 * hidden,
        vocabulary=50257,
        positions=positions,
        activation="gelu_tanh",
        packed=True,
    )


def _opt(layers: int, hidden: int, heads: int) -> Decoder:
    return Decoder(
        layers=layers,
        hidden=hidden,
        heads=heads,
        feed_forward=4 * hidden,
        vocabulary=50272,
        positions=2048,
        position_offset=2,
        activation="relu",
    )


def _llama(
    layers: int,
    hidden: int,
    heads: int,
    kv_heads: int,
    feed_forward: int,
    *,
    vocabulary: int = 32000,
    positions: int = 4096,
    theta: float = 1e4,
    **rest: Any,
) -> Decoder:
    """Llama and its descendants: root mean square norms, gated dense part, no biases."""
    given: dict[str, Any] = {
        "eps": 1e-5,
        "qkv_bias": False,
        "output_bias": False,
        "dense_bias": False,
        "tied": False,
    } | rest
    return Decoder(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        feed_forward=feed_forward,
        vocabulary=vocabulary,
        positions=positions,
        rope_theta=theta,
        norm="rms",
        activation="silu",
        gated=True,
        **given,
    )


_GPT2 = "Radford et al., Language Models are Unsupervised Multitask Learners, OpenAI 2019"
_GPT3 = "Brown et al., Language Models are Few-Shot Learners, arXiv:2005.14165, table 2.1"
_OPT = "Zhang et al., OPT: Open Pre-trained Transformer Language Models, arXiv:2205.01068, table 1"
_LLAMA2 = "Touvron et al., Llama 2, arXiv:2307.09288"
_LLAMA3 = "Grattafiori et al., The Llama 3 Herd of Models, arXiv:2407.21783, table 3 (Llama 3.1)"
_MIXTRAL = "Jiang et al., Mixtral of Experts, arXiv:2401.04088, table 1"
_MISTRAL = "Jiang et al., Mistral 7B, arXiv:2310.06825 (version 0.3: vocabulary 32768, no window)"
_QWEN2 = "Yang et al., Qwen2 Technical Report, arXiv:2407.10671, table 1"
_LONG: dict[str, Any] = {"vocabulary": 128256, "positions": 131072, "theta": 5e5}
_QWEN: dict[str, Any] = {"positions": 131072, "theta": 1e6, "eps": 1e-6, "qkv_bias": True}

_SIZES = (  # name, family, dimensions, source, parameters, multiply-adds of 512 tokens' prefill
    ("gpt2", "GPT-2", _gpt(12, 768, 12, 1024), _GPT2, 124_439_808, 48_356_979_456),
    ("gpt2-medium", "GPT-2", _gpt(24, 1024, 16, 1024), _GPT2, 354_823_168, 167_555_187_712),
    ("gpt2-large", "GPT-2", _gpt(36, 1280, 20, 1024), _GPT2, 774_030_080, 386_611_385_600),
    ("gpt2-xl", "GPT-2", _gpt(48, 1600, 25, 1024), _GPT2, 1_557_611_200, 795_320_449_600),
    ("opt-125m", "OPT", _opt(12, 768, 12), _OPT, 125_239_296, 48_356_990_976),
    ("opt-1.3b", "OPT", _opt(24, 2048, 32), _OPT, 1_315_758_080, 644_348_051_456),
    ("opt-6.7b", "OPT", _opt(32, 4096, 32), _OPT, 6_658_473_984, 3_367_460_274_176),
    ("opt-13b", "OPT", _opt(40, 5120, 40), _OPT, 12_853_473_280, 6_550_082_519_040),
    ("opt-30b", "OPT", _opt(48, 7168, 56), _OPT, 29_974_540_288, 15_333_393_596_416),
    ("opt-66b", "OPT", _opt(64, 9216, 72), _OPT, 65_719_701_504, 33_707_366_645_760),
    ("opt-175b", "OPT", _opt(96, 12288, 96), _OPT, 174_604_468_224, 89_679_534_882_816),
    (
        "llama2-7b",
        "Llama",
        _llama(32, 4096, 32, 32, 11008),
        _LLAMA2,
        6_738_415_616,
        3_384_565_301_248,
    ),
    (
        "llama2-13b",
        "Llama",
        _llama(40, 5120, 40, 40, 13824),
        _LLAMA2,
        13_015_864_320,
        6_603_676_057_600,
    ),
    (
        "llama2-70b",
        "Llama",
        _llama(80, 8192, 64, 8, 28672),
        _LLAMA2,
        68_976_648_192,
        35_390_792_663_040,
    ),
    (
        "llama3-8b",
        "Llama",
        _llama(32, 4096, 32, 8, 14336, **_LONG),
        _LLAMA3,
        8_030_261_248,
        3_642_657_603_584,
    ),
    (
        "llama3-70b",
        "Llama",
        _llama(80, 8192, 64, 8, 28672, **_LONG),
        _LLAMA3,
        70_553_706_496,
        35_391_581_192_192,
    ),
    (
        "llama3-405b",
        "Llama",
        _llama(126, 16384, 128, 8, 53248, **_LONG),
        _LLAMA3,
        405_853_388_800,
        206_727_467_237_376,
    ),
    (
        "mistral-7b",
        "Mistral",
        _llama(32, 4096, 32, 8, 14336, vocabulary=32768, positions=32768, theta=1e6),
        _MISTRAL,
        7_248_023_552,
        3_642_266_484_736,
    ),
    (
        "qwen2-0.5b",
        "Qwen2",
        _llama(24, 896, 14, 2, 4864, vocabulary=151936, tied=True, **_QWEN),
        _QWEN2,
        494_032_768,
        194_617_622_528,
    ),
    (
        "qwen2-7b",
        "Qwen2",
        _llama(28, 3584, 28, 4, 18944, vocabulary=152064, **_QWEN),
        _QWEN2,
        7_615_616_512,
        3_394_106_032_128,
    ),
    (
        "mixtral-8x7b",
        "Mixtral",
        _llama(32, 4096, 32, 8, 14336, positions=32768, theta=1e6, experts=8, experts_per_token=2),
        _MIXTRAL,
        46_702_792_704,
        6_529_018_232_832,
    ),
)

_GPT3_SIZES = (  # name, layers, width, heads, parameters as rounded in the paper
    ("gpt3-1.3b", 24, 2048, 16, 1_300_000_000),
    ("gpt3-6.7b", 32, 4096, 32, 6_700_000_000),
    ("gpt3-13b", 40, 5120, 40, 13_000_000_000),
    ("gpt3-175b", 96, 12288, 96, 175_000_000_000),
)
"""Heads of 128 that fill the width: the table's 24 heads of the first, and 5140 of the third, do
not multiply to its parameters. Its sparse layers are dense here."""

ROWS = (
    *(
        _language_model(name, family, size, source, Published(count, macs, _COUNTED))
        for name, family, size, source, count, macs in _SIZES
    ),
    *CONFIGURED,
    *(
        _language_model(
            name,
            "GPT-3",
            _gpt(layers, hidden, heads, 2048),
            _GPT3,
            Published(count, None, "the paper's table, rounded", 0.013),
        )
        for name, layers, hidden, heads, count in _GPT3_SIZES
    ),
)
