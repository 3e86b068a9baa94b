"""The table of models: a row each, and nothing imported that builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

FLOATS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class ModelInfo:
    """One row of the model set.

    Attributes:
        name: what a user types.
        family: the architecture's family ("ResNet").
        build: a function, or "module:function", called with `batch`, the options and `dtype`.
        defaults: the options that it takes, with their usual values.
        source: the paper or the code that it follows.
        about: one line on its character.
        limits: lowest and highest value of an option, None for no highest.
    """

    name: str
    family: str
    build: str | Callable[..., Any]
    defaults: Mapping[str, int]
    source: str
    about: str = ""
    limits: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)


_ROWS = (
    ModelInfo(
        "alexnet", "AlexNet", "lydite.models.alexnet:alexnet", {"image_size": 224},
        "Krizhevsky, One weird trick for parallelizing convolutional neural networks, "
        "arXiv:1404.5997 (as torchvision builds it)",
        "five convolutions; 94 % of the weights in three dense layers",
        {"image_size": (63, None)},
    ),
    ModelInfo(
        "vgg16", "VGG", "lydite.models.vgg:vgg16", {"image_size": 224},
        "Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556, table 1, D",
        "thirteen equal 3x3 convolutions: bound by arithmetic",
        {"image_size": (32, None)},
    ),
    ModelInfo(
        "resnet50", "ResNet", "lydite.models.resnet:resnet50", {"image_size": 224},
        "He et al., Deep Residual Learning, arXiv:1512.03385; v1.5: the stride stands in the 3x3 "
        "convolution, as in torchvision and MLPerf",
        "bottleneck blocks with residual connections",
        {"image_size": (32, None)},
    ),
    ModelInfo(
        "mobilenetv2", "MobileNet", "lydite.models.mobilenet:mobilenet_v2", {"image_size": 224},
        "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381",
        "depthwise convolutions: bound by memory",
        {"image_size": (32, None)},
    ),
    ModelInfo(
        "inceptionv3", "Inception", "lydite.models.inception:inception_v3", {"image_size": 299},
        "Szegedy et al., Rethinking the Inception Architecture, arXiv:1512.00567 (as torchvision "
        "builds it, without the auxiliary head)",
        "many small branches, 1x7 and 7x1 convolutions",
        {"image_size": (75, None)},
    ),
    ModelInfo(
        "bert-base", "BERT", "lydite.models.bert:bert_base", {"sequence": 128},
        "Devlin et al., BERT, arXiv:1810.04805: 12 layers of width 768, uncased vocabulary",
        "transformer encoder with pooler, no head",
        {"sequence": (1, 512)},
    ),
    ModelInfo(
        "bert-large", "BERT", "lydite.models.bert:bert_large", {"sequence": 128},
        "Devlin et al., BERT, arXiv:1810.04805: 24 layers of width 1024, uncased vocabulary",
        "transformer encoder with pooler, no head",
        {"sequence": (1, 512)},
    ),
)  # fmt: skip

MODELS = {row.name: row for row in _ROWS}
