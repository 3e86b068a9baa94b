"""One reader for devices, clusters, chips and constants: what it refuses, and how it says so."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from lydite.cluster.constants import read_constants
from lydite.errors import InputError
from lydite.hardware import read_device
from lydite.hardware.chip import read_chip
from lydite.hardware.cluster import read_cluster
from lydite.hardware.spec_file import parse_spec

CATALOG = resources.files("lydite.hardware.catalog")
KINDS = {
    "device": ("devices/nvidia-t4.yaml", read_device, "memory_bandwidth", "device"),
    "cluster": ("clusters/dgx-a100.yaml", read_cluster, "title", "cluster"),
    "chip": ("chips/smv.yaml", read_chip, "clock", "chip"),
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    """Reads changed text of a catalog's file; what it says of it; a field; the kind's name."""
    file, read, field, name = KINDS[request.param]
    text = CATALOG.joinpath(file).read_text()
    path = tmp_path / "own.yaml"

    def refused(changed: str) -> str:
        path.write_text(changed)
        with pytest.raises(InputError) as caught:
            read(str(path))
        return str(caught.value).removeprefix(f"{tmp_path}/")

    return refused, text, field, name


def line_of(text: str, start: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith(start))


def test_a_key_given_twice(kind):
    refused, text, field, _ = kind
    lines = text.rstrip("\n").splitlines()
    again = next(line for line in lines if line.startswith(f"{field}:"))
    told = refused("\n".join([*lines, again]))
    assert told == f"own.yaml:{len(lines) + 1}: '{field}' is given twice"


def test_an_unknown_field_gets_line_and_nearest_name(kind):
    refused, text, field, name = kind
    told = refused(text.replace(f"{field}:", f"{field}x:", 1))
    assert told.startswith(
        f"own.yaml:{line_of(text, field + ':')}: unknown field '{field}x' of a {name}; allowed: "
    )
    assert told.endswith(f"did you mean '{field}'?")


def test_a_missing_field_is_named(kind):
    refused, text, field, _ = kind
    kept = "".join(line for line in text.splitlines(True) if not line.startswith(f"{field}:"))
    assert refused(kept).startswith(f"own.yaml: field '{field}': field required; allowed: ")


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("device", "memory: ", "memory: 16 # ", "memory: '16' has no unit"),
        ("device", "memory_bandwidth: ", "memory_bandwidth: '300' # ", "'300' has no unit"),
        ("device", "memory_bandwidth: ", "memory_bandwidth: 3 GB # ", "'3 GB' is not in B/s"),
        ("cluster", "  latency: ", "  latency: 2 # ", "latency: '2' has no unit"),
        ("cluster", "  latency: ", "  latency: '2' # ", "latency: '2' has no unit"),
        ("chip", "clock: ", "clock: '1e9' # ", "clock: '1e9' has no unit"),
        ("chip", "clock: ", "clock: 1 GB # ", "clock: '1 GB' is not in Hz"),
    ],
)
def test_a_quantity_needs_its_unit(name, old, new, told, tmp_path):
    file, read, _, _ = KINDS[name]
    text = CATALOG.joinpath(file).read_text()
    path = tmp_path / "own.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read(str(path))
    line = line_of(text, old)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_too_large(kind):
    refused, text, _, name = kind
    most = 1 << (26 if name == "cluster" else 16)
    told = refused(text + "#" * most)
    assert f"bytes are too large for a {name} file; allowed: {most} bytes at most" in told


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "word", "", "3"])
def test_not_a_mapping(kind, text):
    refused, _, _, name = kind
    assert refused(text) == f"own.yaml: not a {name} file; allowed: a mapping of fields"


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx: 1", "a: !!python/object:os.system x"])
def test_not_yaml(kind, text):
    refused, _, _, _ = kind
    assert re.match(r"own\.yaml:\d+: not YAML: ", refused(text))


def test_aliases_cannot_fill_the_memory(kind):
    refused, _, _, _ = kind
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "aliases that stand for" in refused("\n".join(lines))
    assert "an alias refers to a node that contains it" in refused("a: &a [*a]")
    assert "100 deep" in refused("a: " + "[" * 200 + "]" * 200)


def test_an_alias_that_repeats_a_part_is_read():
    file = parse_spec("a: &a {x: 1}\nb: *a\n", "own.yaml", "a file")
    assert file.document == {"a": {"x": 1}, "b": {"x": 1}}
    assert file.at("b.x") == "own.yaml:1: b.x"
    assert file.at("c") == "own.yaml: c"


def test_constants(tmp_path):
    path = tmp_path / "constants.json"
    for text, told in [
        ('{"step_s": 1, "step_s": 2}', "'step_s' is given twice"),
        ('{"step": 1}', "unknown constant 'step'"),
        ("[1]", "not a file of constants; allowed: an object of fields"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (" " * (1 << 24) + "{}", "bytes are too large for a file of constants"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError, match=told):
            read_constants(path)
