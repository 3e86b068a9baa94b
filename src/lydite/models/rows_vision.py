"""Models that see."""

from __future__ import annotations

from lydite.models.dimensions import lazily
from lydite.models.dimensions_vision import NASNet, ResNet, YOLOv5
from lydite.models.info import ModelInfo, Published

_TORCHVISION = "torchvision's documentation"
_ULTRALYTICS = "Ultralytics' model summary, half of its FLOPs"
_SIDE = {"image_size": (32, None)}


def _vgg(name: str, convolutions: tuple[int, ...], published: Published) -> ModelInfo:
    return ModelInfo(
        name,
        "VGG",
        lazily("lydite.models.vgg:vgg", convolutions),
        {"image_size": 224},
        "Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556, table 1",
        f"{sum(convolutions)} equal 3x3 convolutions: bound by arithmetic",
        _SIDE,
        published=published,
    )


def _resnet(size: ResNet, published: Published) -> ModelInfo:
    version = (
        "; v1.5: the stride stands in the 3x3 convolution, as in torchvision and MLPerf"
        if size.bottleneck
        else ""
    )
    return ModelInfo(
        f"resnet{size.depth}",
        "ResNet",
        lazily("lydite.models.resnet:resnet", size),
        {"image_size": 224},
        f"He et al., Deep Residual Learning, arXiv:1512.03385{version}",
        f"{'bottleneck' if size.bottleneck else 'basic'} blocks with residual connections",
        _SIDE,
        published=published,
    )


def _nasnet(
    name: str, size: NASNet, image_size: int, published: Published, about: str
) -> ModelInfo:
    return ModelInfo(
        name,
        "NASNet",
        lazily("lydite.models.nasnet:nasnet", size),
        {"image_size": image_size},
        "Zoph et al., Learning Transferable Architectures, arXiv:1707.07012: NASNet-A "
        f"({size.cells} @ {24 * size.filters}), without the auxiliary head",
        about,
        _SIDE,
        published=published,
    )


def _yolov5(name: str, size: YOLOv5, published: Published) -> ModelInfo:
    return ModelInfo(
        name,
        "YOLO",
        lazily("lydite.models.yolo:yolov5", size),
        {"image_size": 640},
        "Jocher, Ultralytics YOLOv5 (version 6), doi:10.5281/zenodo.3908559",
        "detector: three sizes up and down, boxes decoded to pixels",
        _SIDE,
        published=published,
    )


ROWS = (
    ModelInfo(
        "alexnet",
        "AlexNet",
        "lydite.models.alexnet:alexnet",
        {"image_size": 224},
        "Krizhevsky, One weird trick for parallelizing convolutional neural networks, "
        "arXiv:1404.5997 (as torchvision builds it)",
        "five convolutions; 94 % of the weights in three dense layers",
        {"image_size": (63, None)},
        published=Published(61_100_840, 714000000.0, _TORCHVISION),
    ),
    _vgg("vgg11", (1, 1, 2, 2, 2), Published(132_863_336, 7.61e9, _TORCHVISION)),
    _vgg("vgg13", (2, 2, 2, 2, 2), Published(133_047_848, 11.31e9, _TORCHVISION)),
    _vgg("vgg16", (2, 2, 3, 3, 3), Published(138_357_544, 15.47e9, _TORCHVISION)),
    _vgg("vgg19", (2, 2, 4, 4, 4), Published(143_667_240, 19.63e9, _TORCHVISION)),
    _resnet(ResNet((2, 2, 2, 2), False), Published(11_689_512, 1.81e9, _TORCHVISION)),
    _resnet(ResNet((3, 4, 6, 3), False), Published(21_797_672, 3.66e9, _TORCHVISION)),
    _resnet(ResNet((3, 4, 6, 3), True), Published(25_557_032, 4.09e9, _TORCHVISION)),
    _resnet(ResNet((3, 4, 23, 3), True), Published(44_549_160, 7.80e9, _TORCHVISION)),
    _resnet(ResNet((3, 8, 36, 3), True), Published(60_192_808, 11.51e9, _TORCHVISION)),
    ModelInfo(
        "mobilenetv2",
        "MobileNet",
        "lydite.models.mobilenet:mobilenet_v2",
        {"image_size": 224},
        "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381",
        "depthwise convolutions: bound by memory",
        _SIDE,
        published=Published(3_504_872, 301000000.0, _TORCHVISION),
    ),
    ModelInfo(
        "inceptionv3",
        "Inception",
        "lydite.models.inception:inception_v3",
        {"image_size": 299},
        "Szegedy et al., Rethinking the Inception Architecture, arXiv:1512.00567 (as torchvision "
        "builds it, without the auxiliary head)",
        "many small branches, 1x7 and 7x1 convolutions",
        {"image_size": (75, None)},
        published=Published(23_834_568, 5.71e9, "torchvision, less its auxiliary head"),
    ),
    _nasnet(
        "nasnet-mobile",
        NASNet(4, 44, 32, False),
        224,
        Published(5_289_978, 564000000.0, "Keras's NASNetMobile; the paper's table 2"),
        "cells of many small separable convolutions: bound by launches",
    ),
    _nasnet(
        "nasnet-large",
        NASNet(6, 168, 96, True),
        331,
        Published(88_753_150, 23.8e9, "timm's nasnetalarge; the paper's table 2"),
        "cells of many separable convolutions",
    ),
    ModelInfo(
        "ghostnet",
        "GhostNet",
        "lydite.models.ghostnet:ghostnet",
        {"image_size": 640},
        "Han et al., GhostNet: More Features from Cheap Operations, arXiv:1911.11907: width 1.0",
        "half of the channels by depthwise convolutions: bound by memory",
        _SIDE,
        published=Published(5_182_508, 1_123_540_544, "timm's ghostnet_100, FlopCounterMode"),
    ),
    _yolov5("yolov5n", YOLOv5(1 / 3, 1 / 4), Published(1_872_157, 2.25e9, _ULTRALYTICS, 0.02)),
    _yolov5("yolov5s", YOLOv5(1 / 3, 1 / 2), Published(7_235_389, 8.2e9, _ULTRALYTICS, 0.02)),
    ModelInfo(
        "bisenetv2",
        "BiSeNet",
        "lydite.models.bisenet:bisenet_v2",
        {"image_size": 1024},
        "Yu et al., BiSeNet V2, arXiv:2004.02147 (as CoinCheung/BiSeNet builds it), without the "
        "heads of training",
        "19 classes of every pixel, from an image twice as wide as high",
        _SIDE,
    ),
    ModelInfo(
        "unet",
        "U-Net",
        "lydite.models.unet:unet",
        {"image_size": 640},
        "Ronneberger et al., U-Net, arXiv:1505.04597 (as milesial/Pytorch-UNet builds it, with "
        "transposed convolutions)",
        "two classes of every pixel; large activations",
        {"image_size": (16, None)},
        published=Published(31_037_698, None, "counts of milesial's module with two classes"),
    ),
)
