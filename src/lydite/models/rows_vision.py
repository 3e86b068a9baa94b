"""Models that see."""

from __future__ import annotations

from lydite.models.info import ModelInfo, Published

ROWS = (
    ModelInfo(
        "alexnet", "AlexNet", "lydite.models.alexnet:alexnet", {"image_size": 224},
        "Krizhevsky, One weird trick for parallelizing convolutional neural networks, "
        "arXiv:1404.5997 (as torchvision builds it)",
        "five convolutions; 94 % of the weights in three dense layers",
        {"image_size": (63, None)},
        published=Published(61_100_840, 714000000.0, "torchvision's documentation"),
    ),
    ModelInfo(
        "vgg16", "VGG", "lydite.models.vgg:vgg16", {"image_size": 224},
        "Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556, table 1, D",
        "thirteen equal 3x3 convolutions: bound by arithmetic",
        {"image_size": (32, None)},
        published=Published(138_357_544, 15.47e9, "torchvision's documentation"),
    ),
    ModelInfo(
        "resnet50", "ResNet", "lydite.models.resnet:resnet50", {"image_size": 224},
        "He et al., Deep Residual Learning, arXiv:1512.03385; v1.5: the stride stands in the 3x3 "
        "convolution, as in torchvision and MLPerf",
        "bottleneck blocks with residual connections",
        {"image_size": (32, None)},
        published=Published(25_557_032, 4.09e9, "torchvision's documentation"),
    ),
    ModelInfo(
        "mobilenetv2", "MobileNet", "lydite.models.mobilenet:mobilenet_v2", {"image_size": 224},
        "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381",
        "depthwise convolutions: bound by memory",
        {"image_size": (32, None)},
        published=Published(3_504_872, 301000000.0, "torchvision's documentation"),
    ),
    ModelInfo(
        "inceptionv3", "Inception", "lydite.models.inception:inception_v3", {"image_size": 299},
        "Szegedy et al., Rethinking the Inception Architecture, arXiv:1512.00567 (as torchvision "
        "builds it, without the auxiliary head)",
        "many small branches, 1x7 and 7x1 convolutions",
        {"image_size": (75, None)},
        published=Published(23_834_568, 5.71e9, "torchvision, less its auxiliary head"),
    ),
)  # fmt: skip
