"""Convolutional nets against the same nets in PyTorch, written from their public descriptions."""

from __future__ import annotations

from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from lydite.errors import InputError
from lydite.graph import read_onnx, write_onnx
from lydite.models import build_model
from lydite.models.counts import multiply_adds
from lydite.models.dimensions_vision import NASNet
from lydite.models.nasnet import nasnet

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as fn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402


def unit(inputs, outputs, kernel, stride=1, pad=None, group=1, act: Any = nn.ReLU, eps=1e-5):
    """Convolution, batch normalisation and perhaps an activation."""
    pad = kernel // 2 if pad is None else pad
    conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=group, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps), act() if act else nn.Identity())


plain = partial(unit, act=None)


def vgg(*stages: int) -> nn.Module:
    layers, inputs = [], 3
    for channels, count in zip((64, 128, 256, 512, 512), stages, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
            inputs = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d(7),
        nn.Flatten(),
        nn.Linear(25088, 4096),
        nn.ReLU(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, 1000),
    )


class Residual(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        reshaped = stride > 1 or inputs != outputs
        self.shortcut = plain(inputs, outputs, 1, stride) if reshaped else nn.Identity()
        self.main = (
            nn.Sequential(
                unit(inputs, width, 1), unit(width, width, 3, stride), plain(width, outputs, 1)
            )
            if bottleneck
            else nn.Sequential(unit(inputs, width, 3, stride), plain(width, width, 3))
        )

    def forward(self, x):
        return fn.relu(self.main(x) + self.shortcut(x))


def resnet(bottleneck: bool, *stages: int) -> nn.Module:
    blocks, inputs = [], 64
    for stage, count in enumerate(stages):
        for block in range(count):
            stride = 2 if stage and not block else 1
            blocks.append(Residual(inputs, 64 << stage, stride, bottleneck))
            inputs = (256 if bottleneck else 64) << stage
    return nn.Sequential(
        unit(3, 64, 7, 2),
        nn.MaxPool2d(3, 2, 1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, 1000),
    )


def same(x, kernel: int, stride: int, value: float = 0.0):
    """TensorFlow's SAME: what does not divide evenly goes right and below."""
    total = max((-(-x.shape[2] // stride) - 1) * stride + kernel - x.shape[2], 0)
    low = total // 2
    return fn.pad(x, (low, total - low, low, total - low), value=value)


def average(x, stride: int):
    ones = same(torch.ones_like(x), 3, stride)
    return fn.avg_pool2d(same(x, 3, stride), 3, stride) / fn.avg_pool2d(ones, 3, stride)


def maximum(x):
    return fn.max_pool2d(same(x, 3, 2, -torch.inf), 3, 2)


class Separable(nn.Module):
    def __init__(self, inputs: int, filters: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.deep = nn.Conv2d(inputs, inputs, kernel, stride, groups=inputs, bias=False)
        self.point = plain(inputs, filters, 1, eps=1e-3)
        self.deep_2 = nn.Conv2d(filters, filters, kernel, groups=filters, bias=False)
        self.point_2 = plain(filters, filters, 1, eps=1e-3)

    def forward(self, x):
        x = self.point(self.deep(same(fn.relu(x), self.kernel, self.stride)))
        return self.point_2(self.deep_2(same(fn.relu(x), self.kernel, 1)))


class Halved(nn.Module):
    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList(nn.Conv2d(inputs, filters // 2, 1, bias=False) for _ in range(2))
        self.norm = nn.BatchNorm2d(filters, 1e-3)

    def forward(self, x):
        moved = fn.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        parts = [path(y[:, :, ::2, ::2]) for path, y in zip(self.paths, (x, moved), strict=True)]
        return self.norm(torch.cat(parts, 1))


class Cell(nn.Module):
    """`before` says how the state before is fitted: not at all, by a 1x1 or by halving."""

    kernels: tuple[tuple[int, str], ...]
    joined: Any
    stride = 1

    def __init__(self, inputs: int, past: int, filters: int, before: str) -> None:
        super().__init__()
        made = {
            "": nn.Identity,
            "1x1": lambda: plain(past, filters, 1, eps=1e-3),
            "halved": lambda: Halved(past, filters),
        }
        self.before, self.fits = made[before](), bool(before)
        self.begin = plain(inputs, filters, 1, eps=1e-3)
        past = filters if before else past
        self.parts = nn.ModuleList(
            Separable(
                past if source == "p" else filters,
                filters,
                kernel,
                1 if source == "s" else self.stride,
            )
            for kernel, source in self.kernels
        )

    def forward(self, x, past):
        past = self.before(fn.relu(past)) if self.fits else past
        return self.joined(self.begin(fn.relu(x)), past, *self.parts)


class Normal(Cell):
    kernels = ((5, "x"), (3, "p"), (5, "p"), (3, "p"), (3, "x"))

    def joined(self, x, p, a, b, c, d, e):
        twice = 2 * average(p, 1)
        return torch.cat([p, a(x) + b(p), c(p) + d(p), average(x, 1) + p, twice, e(x) + x], 1)


class Reduction(Cell):
    kernels = ((5, "x"), (7, "p"), (7, "p"), (5, "p"), (3, "s"))
    stride = 2

    def joined(self, x, p, a, b, c, d, e):
        first, second, third = a(x) + b(p), maximum(x) + c(p), average(x, 2) + d(p)
        return torch.cat([second, third, average(first, 1) + second, e(first) + maximum(x)], 1)


class Nasnet(nn.Module):
    def __init__(self, cells: int, filters: int, stem: int, skips: bool) -> None:
        super().__init__()
        self.stem, self.skips = plain(3, stem, 3, 2, 0, eps=1e-3), skips
        self.cells = nn.ModuleList(
            [
                Reduction(stem, stem, filters // 4, ""),
                Reduction(filters, stem, filters // 2, "halved"),
            ]
        )
        past, inputs = filters, 2 * filters
        for stage in range(3):
            width = filters << stage
            if stage:
                self.cells.append(Reduction(inputs, past, width, "1x1"))
                past, inputs = past if skips else inputs, 4 * width
            for cell in range(cells):
                self.cells.append(Normal(inputs, past, width, "1x1" if cell else "halved"))
                past, inputs = inputs, 6 * width
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x):
        first = self.stem(x)
        past = self.cells[0](first, first)
        x = self.cells[1](past, first)
        for cell in self.cells[2:]:
            keeps = self.skips and isinstance(cell, Reduction)
            past, x = past if keeps else x, cell(x, past)
        return self.fc(fn.relu(x).mean((2, 3)))


class Ghost(nn.Module):
    def __init__(self, inputs: int, outputs: int, act) -> None:
        super().__init__()
        self.first = unit(inputs, outputs // 2, 1, act=act)
        self.cheap = unit(outputs // 2, outputs // 2, 3, group=outputs // 2, act=act)

    def forward(self, x):
        x = self.first(x)
        return torch.cat([x, self.cheap(x)], 1)


class Squeeze(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = {72: 20, 120: 32, 480: 120, 672: 168, 960: 240}[channels]
        self.down, self.up = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x):
        y = self.up(fn.relu(self.down(x.mean((2, 3), keepdim=True))))
        return x * fn.relu6(y + 3) / 6


class GhostBlock(nn.Module):
    def __init__(self, inputs, kernel, wide, outputs, squeezes, stride) -> None:
        super().__init__()
        self.main = nn.Sequential(
            Ghost(inputs, wide, nn.ReLU),
            plain(wide, wide, kernel, stride, group=wide) if stride > 1 else nn.Identity(),
            Squeeze(wide) if squeezes else nn.Identity(),
            Ghost(wide, outputs, None),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                plain(inputs, inputs, kernel, stride, group=inputs), plain(inputs, outputs, 1)
            )
        )

    def forward(self, x):
        return self.main(x) + self.shortcut(x)


def ghostnet() -> nn.Module:
    rows = """3 16 16 0 1, 3 48 24 0 2, 3 72 24 0 1, 5 72 40 1 2, 5 120 40 1 1, 3 240 80 0 2,
        3 200 80 0 1, 3 184 80 0 1, 3 184 80 0 1, 3 480 112 1 1, 3 672 112 1 1, 5 672 160 1 2,
        5 960 160 0 1, 5 960 160 1 1, 5 960 160 0 1, 5 960 160 1 1"""
    blocks, inputs = [], 16
    for row in rows.split(","):
        values = [int(word) for word in row.split()]
        blocks.append(GhostBlock(inputs, *values))
        inputs = values[2]
    return nn.Sequential(
        unit(3, 16, 3, 2),
        *blocks,
        unit(160, 960, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(960, 1280, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1280, 1000),
    )


silu = partial(unit, act=nn.SiLU, eps=1e-3)


class C3(nn.Module):
    def __init__(self, inputs: int, outputs: int, count: int, adds: bool = True) -> None:
        super().__init__()
        half, self.adds = outputs // 2, adds
        self.left, self.right = silu(inputs, half, 1), silu(inputs, half, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(silu(half, half, 1), silu(half, half, 3)) for _ in range(count)
        )
        self.join = silu(2 * half, outputs, 1)

    def forward(self, x):
        y, past = self.left(x), self.right(x)
        for block in self.blocks:
            y = y + block(y) if self.adds else block(y)
        return self.join(torch.cat([y, past], 1))


class Yolo(nn.Module):
    anchors = ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326))

    def __init__(self, c: int) -> None:
        super().__init__()
        self.p3 = nn.Sequential(
            silu(3, c, 6, 2, 2),
            silu(c, 2 * c, 3, 2),
            C3(2 * c, 2 * c, 1),
            silu(2 * c, 4 * c, 3, 2),
            C3(4 * c, 4 * c, 2),
        )
        self.p4 = nn.Sequential(silu(4 * c, 8 * c, 3, 2), C3(8 * c, 8 * c, 3))
        self.p5 = nn.Sequential(silu(8 * c, 16 * c, 3, 2), C3(16 * c, 16 * c, 1))
        self.spp = nn.ModuleList([silu(16 * c, 8 * c, 1), silu(32 * c, 16 * c, 1)])
        self.up = nn.ModuleList(
            [
                silu(16 * c, 8 * c, 1),
                C3(16 * c, 8 * c, 1, False),
                silu(8 * c, 4 * c, 1),
                C3(8 * c, 4 * c, 1, False),
            ]
        )
        self.down = nn.ModuleList(
            [
                silu(4 * c, 4 * c, 3, 2),
                C3(8 * c, 8 * c, 1, False),
                silu(8 * c, 8 * c, 3, 2),
                C3(16 * c, 16 * c, 1, False),
            ]
        )
        self.heads = nn.ModuleList(nn.Conv2d(c << (2 + level), 255, 1) for level in range(3))

    def forward(self, x):
        p3 = self.p3(x)
        p4 = self.p4(p3)
        parts = [self.spp[0](self.p5(p4))]
        for _ in range(3):
            parts.append(fn.max_pool2d(parts[-1], 5, 1, 2))
        coarse = self.up[0](self.spp[1](torch.cat(parts, 1)))
        middle = self.up[2](self.up[1](torch.cat([fn.interpolate(coarse, scale_factor=2), p4], 1)))
        fine = self.up[3](torch.cat([fn.interpolate(middle, scale_factor=2), p3], 1))
        middle = self.down[1](torch.cat([self.down[0](fine), middle], 1))
        coarse = self.down[3](torch.cat([self.down[2](middle), coarse], 1))
        found = [head(y) for head, y in zip(self.heads, (fine, middle, coarse), strict=True)]
        return torch.cat([self.boxes(y, level) for level, y in enumerate(found)], 1)

    def boxes(self, y, level: int):
        count, side, stride = y.shape[0], y.shape[2], 8 << level
        y = y.view(count, 3, 85, side, side).permute(0, 1, 3, 4, 2).sigmoid()
        places = torch.arange(side, dtype=torch.float32) - 0.5
        rows, columns = torch.meshgrid(places, places, indexing="ij")
        centre = (2 * y[..., :2] + torch.stack([columns, rows], -1)) * stride
        sizes = torch.tensor(self.anchors[level], dtype=torch.float32).view(3, 1, 1, 2)
        extent = (2 * y[..., 2:4]) ** 2 * sizes
        return torch.cat([centre, extent, y[..., 4:]], -1).view(count, -1, 85)


class Expand(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        wide, halves = 6 * inputs, inputs != outputs
        self.first = unit(inputs, inputs, 3)
        self.deep = nn.Sequential(
            plain(inputs, wide, 3, 2 if halves else 1, group=inputs),
            plain(wide, wide, 3, group=wide) if halves else nn.Identity(),
            nn.ReLU(),
        )
        self.shortcut = (
            nn.Sequential(plain(inputs, inputs, 3, 2, group=inputs), plain(inputs, outputs, 1))
            if halves
            else nn.Identity()
        )
        self.last = plain(wide, outputs, 1)

    def forward(self, x):
        return fn.relu(self.last(self.deep(self.first(x))) + self.shortcut(x))


class Bisenet(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def separable():
            return [plain(128, 128, 3, group=128), nn.Conv2d(128, 128, 1, bias=False)]

        self.detail = nn.Sequential(
            unit(3, 64, 3, 2),
            unit(64, 64, 3),
            unit(64, 64, 3, 2),
            unit(64, 64, 3),
            unit(64, 64, 3),
            unit(64, 128, 3, 2),
            unit(128, 128, 3),
            unit(128, 128, 3),
        )
        self.stem = unit(3, 16, 3, 2)
        self.left = nn.Sequential(unit(16, 8, 1), unit(8, 16, 3, 2))
        self.fuse = unit(32, 16, 3)
        self.layers = nn.Sequential(
            Expand(16, 32),
            Expand(32, 32),
            Expand(32, 64),
            Expand(64, 64),
            Expand(64, 128),
            Expand(128, 128),
            Expand(128, 128),
            Expand(128, 128),
        )
        self.mean = nn.Sequential(nn.BatchNorm2d(128), unit(128, 128, 1))
        self.context = unit(128, 128, 3)
        self.fine = nn.Sequential(*separable())
        self.coarse = nn.Sequential(plain(128, 128, 3, 2), nn.AvgPool2d(3, 2, 1))
        self.raised = plain(128, 128, 3)
        self.seen = nn.Sequential(*separable())
        self.head = nn.Sequential(unit(128, 128, 3), unit(128, 1024, 3), nn.Conv2d(1024, 19, 1))

    def forward(self, image):
        detail, x = self.detail(image), self.stem(image)
        x = self.fuse(torch.cat([self.left(x), fn.max_pool2d(x, 3, 2, 1)], 1))
        x = self.layers(x)
        x = self.context(self.mean(x.mean((2, 3), keepdim=True)) + x)
        fine = self.fine(detail) * fn.interpolate(self.raised(x), scale_factor=4).sigmoid()
        coarse = self.coarse(detail) * self.seen(x).sigmoid()
        x = self.head(fine + fn.interpolate(coarse, scale_factor=4))
        return fn.interpolate(x, scale_factor=8, mode="bilinear", align_corners=False)


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def double(inputs, outputs):
            return nn.Sequential(unit(inputs, outputs, 3), unit(outputs, outputs, 3))

        widths = (64, 128, 256, 512, 1024)
        self.down = nn.ModuleList(map(double, (3, *widths), widths))
        self.up = nn.ModuleList()
        for width in reversed(widths[:-1]):
            self.up += [nn.ConvTranspose2d(2 * width, width, 2, 2), double(2 * width, width)]
        self.last = nn.Conv2d(64, 2, 1)

    def forward(self, x):
        skips = []
        for stage in self.down:
            x = stage(fn.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for level, skip in enumerate(reversed(skips[:-1])):
            x = self.up[2 * level + 1](torch.cat([skip, self.up[2 * level](x)], 1))
        return self.last(x)


NETS = {
    "vgg11": lambda: vgg(1, 1, 2, 2, 2),
    "vgg13": lambda: vgg(2, 2, 2, 2, 2),
    "vgg19": lambda: vgg(2, 2, 4, 4, 4),
    "resnet18": lambda: resnet(False, 2, 2, 2, 2),
    "resnet34": lambda: resnet(False, 3, 4, 6, 3),
    "resnet101": lambda: resnet(True, 3, 4, 23, 3),
    "resnet152": lambda: resnet(True, 3, 8, 36, 3),
    "nasnet-mobile": lambda: Nasnet(4, 44, 32, False),
    "nasnet-large": lambda: Nasnet(6, 168, 96, True),
    "ghostnet": ghostnet,
    "yolov5n": lambda: Yolo(16),
    "yolov5s": lambda: Yolo(32),
    "bisenetv2": Bisenet,
    "unet": Unet,
}

OUTPUTS = {
    "yolov5n": (1, 25200, 85),
    "yolov5s": (1, 25200, 85),
    "bisenetv2": (1, 19, 1024, 2048),
    "unet": (1, 2, 640, 640),
}


@pytest.mark.parametrize("name", NETS)
def test_parameters_flops_and_shapes_are_those_of_pytorch(name):
    graph = build_model(name)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        net = NETS[name]().eval()
        output = net(torch.zeros(graph.type_of(graph.inputs[0]).shape))
    assert graph.parameter_count == sum(p.numel() for p in net.parameters())
    assert multiply_adds(graph) == pytest.approx(counter.get_total_flops() / 2, rel=1e-6)
    shape = graph.type_of(graph.outputs[0]).shape
    assert shape == tuple(output.shape) == OUTPUTS.get(name, (1, 1000))


def drawn_and_run(graph, image):
    """Weights in the order in which they were declared, and what ONNX Runtime gives with them."""
    with TemporaryDirectory() as folder:
        path = write_onnx(graph, f"{folder}/m.onnx", seed=1)
        onnx.checker.check_model(str(path), full_check=True)
        runner = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        weights = [init.array() for init in read_onnx(path).initializers.values()]
    output = np.asarray(runner.run(None, {graph.inputs[0]: image})[0])
    return [w for w in weights if w.dtype == np.float32 and w.ndim], output


SMALL = {
    "resnet18": 64,
    "nasnet-mobile": 64,
    "ghostnet": 64,
    "yolov5n": 64,
    "bisenetv2": 64,
    "unet": 32,
}


def compare(graph, net):
    """Weights go into the modules in the order in which both were made."""
    shape = graph.type_of(graph.inputs[0]).shape
    image = np.random.default_rng(0).standard_normal(shape, np.float32)
    weights, ours = drawn_and_run(graph, image)
    state = {key: value for key, value in net.state_dict().items() if "num_batches" not in key}
    assert [w.shape for w in weights] == [tuple(value.shape) for value in state.values()]
    net.load_state_dict(dict(zip(state, map(torch.tensor, weights), strict=True)), strict=False)
    with torch.no_grad():
        theirs = net.eval()(torch.tensor(image)).numpy()
    assert theirs.std() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max(), rtol=0)


@pytest.mark.parametrize("name", SMALL)
def test_equal_weights_give_equal_outputs(name):
    compare(build_model(name, batch=2, image_size=SMALL[name]), NETS[name]())


def test_a_cell_behind_a_reduction_may_look_past_it():
    size = NASNet(cells=2, filters=8, stem=6, skips=True)
    compare(nasnet(size, batch=1, image_size=67, dtype="float32"), Nasnet(2, 8, 6, True))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "yolov5s",
            100,
            "image_size 100 is impossible; allowed: a multiple of 32; the nearest is 96",
        ),
        ("unet", 100, "image_size 100 is impossible; allowed: a multiple of 16; the nearest is 96"),
        ("bisenetv2", 1000, "allowed: a multiple of 32; the nearest is 992"),
        ("nasnet-mobile", 16, "image_size 16 is impossible; allowed: 32 and more"),
        ("vgg19", 330, "image leaves 10x10 positions before the classifier"),
    ],
)
def test_impossible_sizes_are_refused(name, size, message):
    with pytest.raises(InputError) as caught:
        build_model(name, image_size=size)
    assert message in str(caught.value)


def test_ghostnet_at_the_papers_size():
    assert multiply_adds(build_model("ghostnet", image_size=224)) == pytest.approx(141e6, rel=5e-3)


def test_yolov5s_as_ultralytics_counts_it_with_norms_folded():
    graph = build_model("yolov5s")
    weights = graph.initializers.items()
    scales = sum(w.type.numel or 0 for n, w in weights if n.startswith("bn.scale"))
    assert graph.parameter_count - scales == 7_225_885
