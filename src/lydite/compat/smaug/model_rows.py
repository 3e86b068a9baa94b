"""The networks that come with SMAUG, as rows of the model set."""

from __future__ import annotations

from lydite.models import ModelInfo, Published

_SMAUG = "Xi et al., SMAUG: End-to-End Full-Stack Simulation, arXiv:1912.04481: its model"
_COUNTED = "counted on the topology that comes with SMAUG"

MINERVA = ModelInfo(
    "minerva",
    "MLP",
    "lydite.compat.smaug.models:minerva",
    {},
    f"{_SMAUG} minerva",
    "perceptron for MNIST: four dense layers",
    published=Published(334_336, 334_336, _COUNTED),
)
LENET5 = ModelInfo(
    "lenet5",
    "LeNet",
    "lydite.compat.smaug.models:lenet5",
    {},
    f"{_SMAUG} lenet5",
    "two unpadded convolutions for MNIST",
    published=Published(600_608, 6_094_208, _COUNTED),
)
CIFAR10_CNN = ModelInfo(
    "cifar10-cnn",
    "CNN",
    "lydite.compat.smaug.models:cifar10_cnn",
    {},
    f"{_SMAUG} cifar10-cnn",
    "four convolutions with batch normalisation for CIFAR-10",
    published=Published(2_167_904, 26_579_968, _COUNTED),
)
CIFAR10_VGG = ModelInfo(
    "cifar10-vgg",
    "VGG",
    "lydite.compat.smaug.models:cifar10_vgg",
    {},
    f"{_SMAUG} cifar10-vgg",
    "ten 3x3 convolutions for CIFAR-10",
    published=Published(8_796_864, 342_561_792, _COUNTED),
)
CIFAR100_ELU = ModelInfo(
    "cifar100-elu",
    "ELU",
    "lydite.compat.smaug.models:cifar100_elu",
    {},
    f"{_SMAUG} cifar100-elu (Clevert et al., arXiv:1511.07289)",
    "eleven convolutions with exponential linear units",
    published=Published(1_666_384, 157_530_304, _COUNTED),
)
LARGE_ELU = ModelInfo(
    "large-elu",
    "ELU",
    "lydite.compat.smaug.models:large_elu",
    {},
    f"{_SMAUG} large-elu (Clevert et al., arXiv:1511.07289)",
    "nineteen convolutions with exponential linear units",
    published=Published(39_316_096, 1_496_908_288, _COUNTED),
)
IMAGENET_RESNET = ModelInfo(
    "imagenet-resnet",
    "ResNet",
    "lydite.compat.smaug.models:imagenet_resnet",
    {"image_size": 225},
    f"{_SMAUG} imagenet-resnet",
    "ResNet-50 whose last image is flattened into 10 classes",
    {"image_size": (32, None)},
    published=Published(24_511_552, 4_090_256_576, _COUNTED),
)
SMAUG_LSTM = ModelInfo(
    "smaug-lstm",
    "LSTM",
    "lydite.compat.smaug.models:smaug_lstm",
    {"sequence": 4},
    f"{_SMAUG} lstm",
    "two layers of 32 units, unrolled",
    {"sequence": (1, 1024)},
    published=Published(16_384, 65_536, _COUNTED),
)
SMAUG_BILSTM = ModelInfo(
    "smaug-bilstm",
    "LSTM",
    "lydite.compat.smaug.models:smaug_bilstm",
    {"sequence": 4},
    f"{_SMAUG} bidi-lstm",
    "one layer of 32 units in both directions, unrolled (sizes assumed)",
    {"sequence": (1, 1024)},
    published=Published(16_384, 65_536, "4 * 32 * (32 + 32) weights a direction, used a step"),
)
