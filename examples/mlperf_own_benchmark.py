"""A benchmark of your own under MLPerf's rules: a model, its data, how it is scored, in one file.

A small CNN is trained here on handwritten digits of 8 x 8 pixels (those of scikit-learn where it is
installed, else digits drawn with Pillow), calibrated to int8, and judged against its fp32 engine.

An adapter that lies in a module on the path is named on the command line, and one of an installed
package has an entry point:

    lydite mlperf run digits.onnx --adapter my_package.module:DIGITS --data FOLDER --mode accuracy

    [project.entry-points."lydite.mlperf"]
    digits = "my_package.module:DIGITS"
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper

import lydite as ly
from lydite.mlperf.adapter import Adapter

# the benchmark: what is read, what the model is given, and what counts


def samples(folder: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Each picture and its digit."""
    pictures, digits = np.load(folder / "pictures.npy"), np.load(folder / "digits.npy")
    yield from zip(pictures, digits.tolist(), strict=True)


def preprocess(picture: np.ndarray) -> Mapping[str, np.ndarray]:
    """Brightness between 0 and 1, with one channel."""
    return {"x": picture[None].astype(np.float32) / 16}


def score(outputs: list[np.ndarray], digits: list[int]) -> float:
    """Share of the digits that are recognised."""
    said = [int(output.argmax()) for output in outputs]
    return float(np.mean(np.array(said) == digits))


DIGITS = Adapter("digits", "", samples, preprocess, score)  # target: 99 % of fp32

# the data


def data() -> tuple[np.ndarray, np.ndarray, str]:
    """Pictures of 8 x 8 pixels with 17 levels, their digits, and where they come from."""
    if find_spec("sklearn"):
        from sklearn.datasets import load_digits

        found = load_digits()
        return found.images, found.target, "scikit-learn's digits"
    from PIL import Image, ImageDraw, ImageFont

    draw = np.random.default_rng(0)
    digits = draw.integers(0, 10, 1797)
    pictures = np.empty((len(digits), 8, 8))
    font = ImageFont.load_default(17)
    for picture, digit in zip(pictures, digits, strict=True):
        canvas = Image.new("L", (32, 32))
        ImageDraw.Draw(canvas).text((16, 16), str(digit), 255, font, "mm")
        canvas = canvas.rotate(draw.uniform(-15, 15), translate=tuple(draw.integers(-1, 2, 2)))
        small = canvas.crop((7, 7, 25, 25)).resize((8, 8), Image.Resampling.BOX)
        picture[:] = np.asarray(small) / 255 * 16 + draw.normal(0, 0.7, (8, 8))
    return pictures.clip(0, 16).round(), digits, "digits drawn with Pillow"


# the model: two convolutions and a matrix product, trained by hand


def patches(x: np.ndarray, stride: int) -> np.ndarray:
    """Patches of 3 x 3 with a border of zeros: [samples, rows, columns, channels * 9]."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::stride, ::stride]
    windows = windows.transpose(0, 2, 3, 1, 4, 5)
    return windows.reshape(*windows.shape[:3], -1)


def forward(x: np.ndarray, w: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Patches and activations of both convolutions, and the scores."""
    first = patches(x, 1)
    one = np.maximum(first @ w["w1"].reshape(8, -1).T + w["b1"], 0)
    second = patches(one.transpose(0, 3, 1, 2), 2)
    two = np.maximum(second @ w["w2"].reshape(16, -1).T + w["b2"], 0)
    flat = two.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return [first, one, second, two, flat, flat @ w["w3"].T + w["b3"]]


def gradients(x: np.ndarray, digits: np.ndarray, w: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gradients of the cross entropy."""
    first, one, second, two, flat, scores = forward(x, w)
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    share[np.arange(len(x)), digits] -= 1
    share /= len(x)
    grads = {"w3": share.T @ flat, "b3": share.sum(axis=0)}
    back = (share @ w["w3"]).reshape(len(x), 16, 4, 4).transpose(0, 2, 3, 1) * (two > 0)
    grads["w2"] = np.einsum("nhwo,nhwi->oi", back, second).reshape(w["w2"].shape)
    grads["b2"] = back.sum(axis=(0, 1, 2))
    spread = (back @ w["w2"].reshape(16, -1)).reshape(len(x), 4, 4, 8, 3, 3)
    padded = np.zeros((len(x), 10, 10, 8))
    for row in range(3):
        for column in range(3):
            padded[:, row : row + 8 : 2, column : column + 8 : 2] += spread[..., row, column]
    back = padded[:, 1:9, 1:9] * (one > 0)
    grads["w1"] = np.einsum("nhwo,nhwi->oi", back, first).reshape(w["w1"].shape)
    grads["b1"] = back.sum(axis=(0, 1, 2))
    return grads


def trained(x: np.ndarray, digits: np.ndarray, epochs: int = 12) -> dict[str, np.ndarray]:
    """Weights after some epochs of Adam."""
    draw = np.random.default_rng(1)
    shapes = {"w1": (8, 1, 3, 3), "w2": (16, 8, 3, 3), "w3": (10, 256)}
    w = {n: draw.standard_normal(s) * (2 / np.prod(s[1:])) ** 0.5 for n, s in shapes.items()}
    w |= {"b1": np.zeros(8), "b2": np.zeros(16), "b3": np.zeros(10)}
    mean, square = ({name: np.zeros_like(a) for name, a in w.items()} for _ in range(2))
    step = 0
    for _ in range(epochs):
        for rows in np.array_split(draw.permutation(len(x)), len(x) // 50):
            step += 1
            for name, grad in gradients(x[rows], digits[rows], w).items():
                mean[name] = 0.9 * mean[name] + 0.1 * grad
                square[name] = 0.999 * square[name] + 0.001 * grad**2
                unbiased = square[name] / (1 - 0.999**step)
                w[name] -= 2e-3 * mean[name] / (1 - 0.9**step) / (unbiased**0.5 + 1e-8)
    return w


def as_onnx(w: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The network as a model file has it."""
    value = helper.make_tensor_value_info
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", **pads),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", strides=[2, 2], **pads),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Flatten", ["r2"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["scores"], "last", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [value("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [value("scores", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in w.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main(folder: Path) -> None:
    pictures, digits, origin = data()
    held_out = np.arange(len(digits)) % 3 == 0
    x = pictures[~held_out][:, None] / 16
    model = folder / "digits.onnx"
    onnx.save(as_onnx(trained(x, digits[~held_out])), model)
    np.save(folder / "pictures.npy", pictures[held_out])
    np.save(folder / "digits.npy", digits[held_out])
    print(f"{origin}: {(~held_out).sum()} to train on, {held_out.sum()} held out")

    name = f"{__name__}:DIGITS"
    print(ly.mlperf_calibrate(str(model), adapter=name, data=folder).summary())
    if not find_spec("mlperf_loadgen"):
        print("LoadGen is not installed here: pip install 'lydite[mlperf]'")
        return
    for precision in ("fp32", "int8"):
        given = {"adapter": name, "data": folder, "precision": precision, "batch_size": 8}
        result = ly.mlperf_run(str(model), mode="accuracy", out=folder / "runs", **given)
        (run,) = result.document()["runs"]
        print(f"{precision}: {run['verdict']}, {run['accuracy']}")
    result = ly.mlperf_run(str(model), min_duration=0.5, out=folder / "runs", **given)
    print(result.summary())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
