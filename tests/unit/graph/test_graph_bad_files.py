"""Files that are broken, foreign or hostile: one clear line each, never another exception."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lydite.errors import GraphError, InputError, LyditeError
from lydite.graph import graph_from_model, keys_of, read_onnx, total_work

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MODELS = [LIGHT / f"light_{name}.onnx" for name in ("shufflenet", "squeezenet", "inception_v1")]


def external_model(location="w.bin", **entries) -> onnx.ModelProto:
    weight = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[64, 64], data_location=TensorProto.EXTERNAL
    )
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=str(value))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 64])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def folder(tmp_path) -> Path:
    home = tmp_path / "models"
    home.mkdir()
    (home / "w.bin").write_bytes(np.arange(64 * 64, dtype=np.float32).tobytes())
    (tmp_path / "secret.bin").write_bytes(bytes(64 * 64 * 4))
    return home


def written(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_stay_on_disk_until_asked_for(folder):
    graph = read_onnx(written(folder, external_model()))
    assert graph.initializers["w"].value is None
    assert graph.initializers["w"].array().ravel()[-1] == 64 * 64 - 1


def test_external_data_at_an_offset(folder):
    (folder / "w.bin").write_bytes(bytes(128) + np.ones(64 * 64, np.float32).tobytes())
    graph = read_onnx(written(folder, external_model(offset=128, length=64 * 64 * 4)))
    assert graph.initializers["w"].array().min() == 1


REFUSED = {
    "missing": (dict(location="gone.bin"), "external data file 'gone.bin' is missing"),
    "no location": (dict(location=""), "no location"),
    "truncated": (dict(offset=4096), "'w.bin' is truncated"),
    "offset no number": (dict(offset="many"), "offset 'many' is not a whole number"),
    "offset negative": (dict(offset=-4), "offset '-4' is not a whole number"),
    "offset absurd": (dict(offset=10**15), "truncated"),
    "above the folder": (dict(location="../secret.bin"), "outside the folder"),
    "down and up again": (dict(location="a/../../secret.bin"), "outside the folder"),
    "absolute": (dict(location="/etc/hostname"), "outside the folder"),
    "a folder": (dict(location="."), "missing"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_external_data_that_are_refused(folder, what):
    entries, message = REFUSED[what]
    with pytest.raises(InputError, match="weight 'w'") as caught:
        read_onnx(written(folder, external_model(**entries)))
    assert message in str(caught.value)


def test_external_data_through_a_link_out_of_the_folder(folder):
    (folder / "link.bin").symlink_to(folder.parent / "secret.bin")
    with pytest.raises(InputError, match="outside the folder"):
        read_onnx(written(folder, external_model("link.bin")))


def test_a_link_within_the_folder_is_fine(folder):
    (folder / "link.bin").symlink_to(folder / "w.bin")
    assert read_onnx(written(folder, external_model("link.bin"))).initializers["w"].has_data


def test_data_that_vanish_after_reading(folder):
    graph = read_onnx(written(folder, external_model()))
    (folder / "w.bin").unlink()
    with pytest.raises(InputError, match="external data"):
        graph.initializers["w"].array()


def one_op_model(op_type="Relu", domain="", opset=17, **attrs) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(op_type, ["x"], ["y"], name="it", domain=domain, **attrs)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


FILES = {
    "empty": (b"", "no graph or no opset"),
    "text": (b"hello, this is no model at all", "not an ONNX model"),
    "random": (bytes(range(256)) * 8, "not an ONNX model"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(64), "not an ONNX model"),
}


@pytest.mark.parametrize("what", FILES)
def test_files_that_are_no_models(tmp_path, what):
    content, message = FILES[what]
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_onnx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_onnx(tmp_path / "gone.onnx")
    with pytest.raises(InputError, match="is a folder"):
        read_onnx(tmp_path)


def test_an_old_opset_names_the_oldest_and_the_way_out():
    with pytest.raises(InputError, match=r"opset 6 is too old.*7 and newer.*version_converter"):
        graph_from_model(one_op_model(opset=6))
    graph_from_model(one_op_model(opset=7))


def test_an_unknown_domain_gets_the_nearest_name():
    with pytest.raises(InputError, match=r"unknown operator domain 'com\.microsft'") as caught:
        graph_from_model(one_op_model(domain="com.microsft"))
    assert "did you mean 'com.microsoft'?" in str(caught.value)
    assert "it" in str(caught.value)


def test_an_unknown_operator_of_a_known_domain_is_read_and_unknown():
    graph = graph_from_model(one_op_model("Frobnicate", domain="com.microsoft"))
    assert total_work(graph).unknown == ("it",)


def test_a_node_without_a_type():
    model = one_op_model()
    model.graph.node[0].op_type = ""
    with pytest.raises(GraphError, match="no operator type"):
        graph_from_model(model)


def test_a_dimension_that_the_model_lacks():
    with pytest.raises(InputError, match=r"unknown symbolic dimension 'batch'.*n"):
        graph_from_model(one_op_model(), dims={"batch": 1})
    with pytest.raises(InputError, match="at least 1"):
        graph_from_model(one_op_model(), dims={"n": 0})


def test_reading_leaves_the_given_model_as_it_is():
    model = one_op_model()
    before = model.SerializeToString()
    assert graph_from_model(model, dims={"n": 3}).type_of("y").shape == (3, 4)
    assert model.SerializeToString() == before


def test_a_weight_whose_data_do_not_fit_its_shape():
    model = external_model()
    weight = model.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(np.ones((4, 4), np.float32), "w"))
    weight.dims[0] = 5
    with pytest.raises(GraphError, match="weight 'w': its data do not fit its shape"):
        graph_from_model(model)


def test_a_contradiction_between_shapes_is_unknown_not_a_crash():
    model = external_model()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((7, 5), np.float32), "w"))
    graph = graph_from_model(model)
    assert total_work(graph).total.flops >= 0


def node_model(node, inputs, *, domain="", version=1, functions=()) -> onnx.ModelProto:
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs],
        [helper.make_empty_tensor_value_info(name) for name in node.output],
    )
    opsets = [helper.make_opsetid("", 20)]
    opsets += [helper.make_opsetid(domain, version)] if domain else []
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10)


def untyped_input(op_type, domain="", version=1, **attrs):
    """Reads what an operator made of unknown type."""
    node = helper.make_node(op_type, ["u"], ["y"], domain=domain, **attrs)
    model = node_model(node, [("x", [2])], domain=domain, version=version)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.insert(0, helper.make_node("Odd", ["x"], ["u"], domain="com.microsoft"))
    return model


def function_that_calls_itself():
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    inner = helper.make_node("Again", ["a"], ["b"], domain="own")
    function = helper.make_function("own", "Again", ["a"], ["b"], [inner], opsets)
    node = helper.make_node("Again", ["x"], ["y"], domain="own")
    return node_model(node, [("x", [2])], domain="own", functions=[function])


LETHAL = {
    "an equation that never ends": node_model(
        helper.make_node("Einsum", ["x", "y"], ["z"], equation="bij, bjk\u00db-> bik"),
        [("x", [2, 3, 4]), ("y", [2, 4, 5])],
    ),
    "a huge axis": node_model(
        helper.make_node("LayerNormalization", ["x", "s"], ["y", "m", "d"], axis=2**63 - 4),
        [("x", [2, 3]), ("s", [3])],
    ),
    "negative batch dimensions": node_model(
        helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=-100),
        [("x", [2, 3]), ("i", [3])],
    ),
    "a text operator without types": untyped_input("RegexFullMatch", pattern="a"),
    "a dictionary without types": untyped_input(
        "DictVectorizer", "ai.onnx.ml", string_vocabulary=["a"]
    ),
    "an attribute of the wrong type": untyped_input(
        "LabelEncoder", "ai.onnx.ml", 4, keys_strings="no list", values_int64s=[1]
    ),
    "a function that calls itself": function_that_calls_itself(),
}
"""Models on which ONNX 1.23's own inference ends the process or never ends."""


@pytest.mark.parametrize("what", LETHAL)
def test_models_that_would_end_the_process(what):
    graph = graph_from_model(LETHAL[what])
    assert len(total_work(graph).unknown) >= 1


ANYTHING_BUT_OURS = settings(
    suppress_health_check=[
        *settings.default.suppress_health_check,
        HealthCheck.function_scoped_fixture,
    ]
)


def examined(raw: bytes, path: Path) -> None:
    """Read, and all that follows a reading: no exception but ours, no warning."""
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            graph = read_onnx(path)
            total_work(graph)
            keys_of(graph)
        except LyditeError as error:
            assert "\n" not in str(error)


@settings(ANYTHING_BUT_OURS, max_examples=60)
@given(data=st.data())
def test_truncated_models(tmp_path, data):
    raw = data.draw(st.sampled_from(MODELS)).read_bytes()
    examined(raw[: data.draw(st.integers(0, len(raw) - 1))], tmp_path / "m.onnx")


@settings(ANYTHING_BUT_OURS, max_examples=200)
@given(data=st.data())
def test_models_with_changed_bytes(tmp_path, data):
    raw = bytearray(data.draw(st.sampled_from(MODELS)).read_bytes())
    for _ in range(data.draw(st.integers(1, 12))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    examined(bytes(raw), tmp_path / "m.onnx")


@settings(ANYTHING_BUT_OURS, max_examples=100)
@given(data=st.data())
def test_models_with_pieces_cut_out_doubled_or_moved(tmp_path, data):
    raw = data.draw(st.sampled_from(MODELS)).read_bytes()
    start = data.draw(st.integers(0, len(raw) - 1))
    end = data.draw(st.integers(start, min(len(raw), start + 400)))
    into = data.draw(st.integers(0, len(raw)))
    piece = raw[start:end] * data.draw(st.integers(0, 2))
    rest = raw if data.draw(st.booleans()) else raw[:start] + raw[end:]
    examined(rest[:into] + piece + rest[into:], tmp_path / "m.onnx")
