"""Images to inputs: values by hand, resumption, and every fault of a data set."""

import json
import zlib

import numpy as np
import pytest

import lydite as ly
from lydite.errors import InputError
from lydite.mlperf import preprocess as module
from lydite.mlperf.dataset import read
from lydite.mlperf.preprocess import Recipe, image_array, items_of, preprocess

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
SMALL = Recipe(size=(8, 8), resize=8, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))


def picture(path, size=(16, 12), colour=(255, 128, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    for number in range(7):
        picture(tmp_path / "images" / f"i{number}.png", colour=(number, 0, 255))
    lines = "".join(f"i{number}.png {number % 3}\n" for number in range(7))
    (tmp_path / "images" / "val_map.txt").write_text(lines)
    return tmp_path / "images"


def test_values_are_normalised_by_channel(tmp_path):
    picture(tmp_path / "a.png")
    array = image_array(tmp_path / "a.png", SMALL)
    assert (array.shape, array.dtype) == ((3, 8, 8), np.float32)
    for channel, wanted in enumerate([(1 - 0.5) / 0.5, (128 / 255 - 0.25) / 0.25, 0.0]):
        np.testing.assert_allclose(array[channel], wanted, rtol=1e-6)
    last = image_array(tmp_path / "a.png", Recipe((8, 8), 8, "NHWC", dtype="uint8"))
    assert (last.shape, last.dtype) == ((8, 8, 3), np.uint8)
    assert last[3, 4].tolist() == [255, 128, 0]


def test_the_shorter_side_is_resized_and_the_centre_cropped(tmp_path):
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 200  # the middle third
    Image.fromarray(wide).save(tmp_path / "wide.png")
    array = image_array(tmp_path / "wide.png", Recipe((8, 8), 16, dtype="uint8"))
    assert (array == 200).all()
    Image.fromarray(wide.transpose(1, 0, 2).copy()).save(tmp_path / "high.png")
    assert (image_array(tmp_path / "high.png", Recipe((16, 16), 16, dtype="uint8")) == 200).all()
    half = image_array(tmp_path / "wide.png", Recipe((8, 8), 8, dtype="uint8"))
    assert (half[:, :, 2:6] == 200).all()  # 48 x 16 becomes 24 x 8, of which 8 to 16 are left


def test_grey_and_transparent_images_have_three_channels(tmp_path):
    Image.new("L", (9, 9), 7).save(tmp_path / "grey.png")
    Image.new("RGBA", (9, 9), (1, 2, 3, 0)).save(tmp_path / "clear.png")
    raw = Recipe((8, 8), 8, dtype="uint8")
    assert image_array(tmp_path / "grey.png", raw)[:, 0, 0].tolist() == [7, 7, 7]
    assert image_array(tmp_path / "clear.png", raw)[:, 0, 0].tolist() == [1, 2, 3]


def test_a_list_gives_labels_names_and_order(folder, tmp_path):
    data, resumed = preprocess(folder, tmp_path / "out", "x", SMALL)
    assert resumed == 0
    again = read(tmp_path / "out")
    assert again.digest == data.digest
    assert again.labels is not None
    assert again.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert again.names[6] == "i6.png"
    reds = again.inputs["x"][:, 0, 0, 0] * 0.5 + 0.5
    np.testing.assert_allclose(reds * 255, np.arange(7), atol=1e-4)
    assert not (tmp_path / "out" / ".parts").exists()


def test_a_folder_tree_numbers_classes_by_name(tmp_path):
    for name in ("b/2.png", "a/1.png", "b/1.jpg", "a/note.txt"):
        picture(tmp_path / name) if "note" not in name else (tmp_path / name).write_text("x")
    assert items_of(tmp_path) == [("a/1.png", 0), ("b/1.jpg", 1), ("b/2.png", 1)]


def test_a_run_that_was_stopped_goes_on_where_it_was(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 2)
    whole, _ = preprocess(folder, tmp_path / "whole", "x", SMALL)
    made = []

    def stopping(*task):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(task)
        return write(*task)

    write = module.write_chunk
    monkeypatch.setattr(module, "write_chunk", stopping)
    with pytest.raises(KeyboardInterrupt):
        preprocess(folder, tmp_path / "out", "x", SMALL)
    with pytest.raises(InputError, match="holds no prepared data set"):
        read(tmp_path / "out")
    monkeypatch.setattr(module, "write_chunk", write)
    data, resumed = preprocess(folder, tmp_path / "out", "x", SMALL)
    assert resumed == 4
    assert data.digest == whole.digest


def test_processes_write_the_same_as_one(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4)
    one, _ = preprocess(folder, tmp_path / "one", "x", SMALL)
    two, _ = preprocess(folder, tmp_path / "two", "x", SMALL, jobs=2)
    assert one.digest == two.digest


def cut(path):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "i3.png").unlink(), "1 of 7 images are missing: i3.png"),
        (lambda f: (f / "i3.png").write_bytes(b"no image"), r"i3.png: cannot be read as an image"),
        (lambda f: cut(f / "i3.png"), r"i3.png: cannot be read as an image"),
        (lambda f: (f / "val_map.txt").write_text("i1.png\n"), r"val_map.txt:1: .*NAME LABEL"),
        (lambda f: (f / "val_map.txt").write_text("i1.png x\n"), r"val_map.txt:1: .*NAME LABEL"),
        (lambda f: (f / "val_map.txt").write_text("../a.png 1\n"), r"points outside"),
        (lambda f: (f / "val_map.txt").write_text("\n"), r"holds no images"),
    ],
)
def test_a_damaged_data_set_is_one_clear_error(folder, tmp_path, change, message):
    change(folder)
    with pytest.raises(InputError, match=message):
        preprocess(folder, tmp_path / "out", "x", SMALL)
    with pytest.raises(InputError, match="holds no prepared data set"):
        read(tmp_path / "out")


def test_a_short_data_set_and_a_missing_one_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"holds 7 images; allowed: 50,000 exactly"):
        preprocess(folder, tmp_path / "out", "x", SMALL, count=50_000)
    with pytest.raises(InputError, match="no such folder"):
        preprocess(tmp_path / "none", tmp_path / "out", "x", SMALL)


def bomb(width, height):
    """A PNG of a few bytes whose header promises very many pixels."""

    def part(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    parts = part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"")) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("size", [(12_000, 12_000), (60_000, 60_000)])
def test_decompression_bombs_are_refused_before_they_are_decoded(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(bomb(*size))
    with pytest.raises(InputError, match=r"bomb.png: (has \d|cannot be read)"):
        image_array(tmp_path / "bomb.png", SMALL)


def test_a_changed_file_of_a_prepared_set_is_found(folder, tmp_path):
    preprocess(folder, tmp_path / "out", "x", SMALL)
    path = tmp_path / "out" / "x.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x.npy: differs from its checksum"):
        read(tmp_path / "out")


def test_the_verb_takes_size_and_name_from_the_model(folder, tmp_path):
    result = ly.mlperf_preprocess(
        "mobilenetv2", data=folder, out=tmp_path / "out", jobs=1, resize=224
    )
    told = json.loads(result.to_json())
    assert told["shape"] == [3, 224, 224]
    assert (told["samples"], told["classes"]) == (7, 3)
    with pytest.raises(InputError, match="50,000 exactly"):
        ly.mlperf_preprocess("resnet50", data=folder, out=tmp_path / "other")
    with pytest.raises(InputError, match=r"one input of three channels.*adapter"):
        ly.mlperf_preprocess("bert-large-squad", data=folder, out=tmp_path / "other", count=7)
    with pytest.raises(InputError, match="too small"):
        ly.mlperf_preprocess("mobilenetv2", data=folder, out=tmp_path / "other", resize=100)
    with pytest.raises(InputError, match="no mean of three channels"):
        ly.mlperf_preprocess("mobilenetv2", data=folder, out=tmp_path / "other", mean="1,2")


def test_images_with_boxes_are_stretched_and_keep_the_order_of_the_annotations(folder, tmp_path):
    half = np.zeros((12, 16, 3), np.uint8)
    half[:, 8:] = 200
    Image.fromarray(half).save(folder / "i3.png")
    images = [
        {"id": 100 - i, "file_name": f"i{i}.png", "width": 16, "height": 12} for i in (3, 0, 5)
    ]
    boxes = [{"image_id": 97, "category_id": 18, "bbox": [8, 0, 8, 12]}]
    told = tmp_path / "instances.json"
    told.write_text(json.dumps({"images": images, "annotations": boxes}))
    whole = Recipe((6, 8), 8, "NHWC", dtype="uint8", fit="stretch")
    data, _ = preprocess(folder, tmp_path / "out", "x", whole, annotations=told)
    assert (data.metric, data.names) == ("map", ("i3.png", "i0.png", "i5.png"))
    assert data.labels is not None
    assert data.labels[0].tolist() == [[-1, 0, 0, 16, 12, 0], [18, 8, 0, 8, 12, 0]]
    assert data.inputs["x"].shape == (3, 6, 8, 3)
    assert (data.inputs["x"][0, :, :3] == 0).all()
    assert (data.inputs["x"][0, :, 5:] == 200).all()
    with pytest.raises(InputError, match="own list of images"):
        preprocess(folder, tmp_path / "x", "x", whole, annotations=told, listed=told)
    images[0]["file_name"] = "../i3.png"
    told.write_text(json.dumps({"images": images, "annotations": boxes}))
    with pytest.raises(InputError, match="points outside"):
        preprocess(folder, tmp_path / "x", "x", whole, annotations=told)
    images[0]["file_name"] = "none.png"
    told.write_text(json.dumps({"images": images, "annotations": boxes}))
    with pytest.raises(InputError, match=r"1 of 3 images are missing: none\.png"):
        preprocess(folder, tmp_path / "x", "x", whole, annotations=told)
