"""SMAUG's models."""

from __future__ import annotations

from lydite.models.info import ModelInfo, Published

_SMAUG = "Xi et al., SMAUG: End-to-End Full-Stack Simulation, arXiv:1912.04481: its model"
_COUNTED = "counted on the topology that comes with SMAUG"

ROWS = (
    ModelInfo(
        "minerva",
        "MLP",
        "lydite.models.smaug:minerva",
        {},
        f"{_SMAUG} minerva",
        "perceptron for MNIST: four dense layers",
        published=Published(334_336, 334_336, _COUNTED),
    ),
    ModelInfo(
        "lenet5",
        "LeNet",
        "lydite.models.smaug:lenet5",
        {},
        f"{_SMAUG} lenet5",
        "two unpadded convolutions for MNIST",
        published=Published(600_608, 6_094_208, _COUNTED),
    ),
    ModelInfo(
        "cifar10-cnn",
        "CNN",
        "lydite.models.smaug:cifar10_cnn",
        {},
        f"{_SMAUG} cifar10-cnn",
        "four convolutions with batch normalisation for CIFAR-10",
        published=Published(2_167_904, 26_579_968, _COUNTED),
    ),
    ModelInfo(
        "cifar10-vgg",
        "VGG",
        "lydite.models.smaug:cifar10_vgg",
        {},
        f"{_SMAUG} cifar10-vgg",
        "ten 3x3 convolutions for CIFAR-10",
        published=Published(8_796_864, 342_561_792, _COUNTED),
    ),
    ModelInfo(
        "cifar100-elu",
        "ELU",
        "lydite.models.smaug:cifar100_elu",
        {},
        f"{_SMAUG} cifar100-elu (Clevert et al., arXiv:1511.07289)",
        "eleven convolutions with exponential linear units",
        published=Published(1_666_384, 157_530_304, _COUNTED),
    ),
    ModelInfo(
        "large-elu",
        "ELU",
        "lydite.models.smaug:large_elu",
        {},
        f"{_SMAUG} large-elu (Clevert et al., arXiv:1511.07289)",
        "nineteen convolutions with exponential linear units",
        published=Published(39_316_096, 1_496_908_288, _COUNTED),
    ),
    ModelInfo(
        "imagenet-resnet",
        "ResNet",
        "lydite.models.smaug:imagenet_resnet",
        {"image_size": 225},
        f"{_SMAUG} imagenet-resnet",
        "ResNet-50 whose last image is flattened into 10 classes",
        {"image_size": (32, None)},
        published=Published(24_511_552, 4_090_256_576, _COUNTED),
    ),
    ModelInfo(
        "smaug-lstm",
        "LSTM",
        "lydite.models.smaug:smaug_lstm",
        {"sequence": 4},
        f"{_SMAUG} lstm",
        "two layers of 32 units, unrolled",
        {"sequence": (1, 1024)},
        published=Published(16_384, 65_536, _COUNTED),
    ),
    ModelInfo(
        "smaug-bilstm",
        "LSTM",
        "lydite.models.smaug:smaug_bilstm",
        {"sequence": 4},
        f"{_SMAUG} bidi-lstm",
        "one layer of 32 units in both directions, unrolled (sizes assumed)",
        {"sequence": (1, 1024)},
        published=Published(16_384, 65_536, "4 * 32 * (32 + 32) weights a direction, used a step"),
    ),
)
