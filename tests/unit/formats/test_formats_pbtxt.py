"""Protobuf's text format against protobuf's own parser and printer, and what is malformed."""

import tracemalloc

import pytest
from google.protobuf import struct_pb2, text_format
from hypothesis import given
from hypothesis import strategies as st

from lydite.errors import InputError
from lydite.graph.formats.pbtxt import Name, TextMessage, format_pbtxt, parse_pbtxt


def plain(message: TextMessage):
    return {
        name: [plain(v.value) if isinstance(v.value, TextMessage) else v.value for v in values]
        for name, values in message.fields.items()
    }


def test_every_form_of_a_value():
    text = """
    # a comment
    name: "a\\n\\x41\\101\\"" 'b'  # joined
    list: [1, -2, 0x1F], real: -1.5e-3f; big: 1e10
    inner { op: Data } inner: < x: .5 >
    many: [ { a: 1 }, { a: 2 } ]
    nothing: [] word: -inf
    """
    assert plain(parse_pbtxt(text)) == {
        "name": [b'a\nAA"b'],
        "list": [1, -2, 31],
        "real": [-1.5e-3],
        "big": [1e10],
        "inner": [{"op": ["Data"]}, {"x": [0.5]}],
        "many": [{"a": [1]}, {"a": [2]}],
        "nothing": [],
        "word": ["-inf"],
    }


def test_a_long_string_takes_memory_like_itself():
    """Weights in text form are strings of megabytes."""
    size = 2_000_000
    text = f'a: "{"x" * size}\\n" b: 1'
    tracemalloc.start()
    (value,) = parse_pbtxt(text).all("a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert value.value == b"x" * size + b"\n"
    assert peak < 20 * size


def test_every_value_knows_its_line():
    root = parse_pbtxt('a: 1\nb {\n\n  c: "x"\n}\n')
    assert root.all("a")[0].line == 1
    assert root.message("b").line == 2
    assert root.message("b").all("c")[0].line == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {\n b: 1\n", "line 3: the file ends where '}' for '{' of line 1"),
        ("a: [1, 2", "the file ends where ']' for '[' of line 1"),
        ('a: "x\n"', "line 1: found an unterminated string where a value for 'a'"),
        ("a 3", "found '3' where ':' or '{' after 'a' was expected"),
        ("a { b: 1 >", "found '>' where a field's name or '}' was expected"),
        ("\n}", "line 2: found '}' where a field's name was expected"),
        ("a: ?", "found '?' where a value for 'a' was expected"),
        ("a: 1x", "where a value for 'a' was expected"),
        ("a {" * 200, "messages nest more than 100 deep"),
        ("a: " + "[" * 5, "where a value for 'a' was expected"),
    ],
)
def test_malformed_text_is_refused_with_its_line(text, message):
    with pytest.raises(InputError) as caught:
        parse_pbtxt(text, "file.pbtxt")
    assert message in str(caught.value)
    assert "file.pbtxt, line " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a: 1", lambda m: m.text("a")),
        ("a: b", lambda m: m.ints("a")),
        ("a: 1.5", lambda m: m.ints("a")),
        ("a: 99999999999999999999999", lambda m: m.ints("a")),
        ("a: b", lambda m: m.name("a", ["c"])),
        ("a: 1", lambda m: m.message("a")),
        ('a: "\\377"', lambda m: m.text("a")),
        ('a: "\\000"', lambda m: m.text("a")),
        ("a: b", lambda m: m.numbers("a")),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_line(text, read):
    with pytest.raises(InputError, match="line 1"):
        read(parse_pbtxt(text))


SCALARS = st.one_of(
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])),
    st.sampled_from(["Data", "true", "x_1"]).map(Name),
)
FIELDS = st.recursive(
    st.lists(st.tuples(st.sampled_from("abc"), SCALARS), max_size=4),
    lambda inner: st.lists(
        st.tuples(st.sampled_from("abc"), st.one_of(SCALARS, inner)), max_size=4
    ),
    max_leaves=12,
)


def expected(fields):
    found = {}
    for name, value in fields:
        if isinstance(value, list):
            value = expected(value)
        elif isinstance(value, str) and not isinstance(value, Name):
            value = value.encode()
        found.setdefault(name, []).append(value)
    return found


@given(FIELDS)
def test_what_is_written_is_read_again(fields):
    assert plain(parse_pbtxt(format_pbtxt(fields))) == expected(fields)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5), st.one_of(st.text(), st.floats(-1e6, 1e6)), max_size=4
    )
)
def test_what_protobuf_prints_is_read(values):
    struct = struct_pb2.Struct()
    struct.update(values)
    found = {}
    for entry in parse_pbtxt(text_format.MessageToString(struct)).messages("fields"):
        key, value = entry.all("key")[0].value, entry.message("value")
        numbers = value.numbers("number_value")
        found[key.decode()] = numbers[0] if numbers else value.all("string_value")[0].value.decode()
    assert found == values


@given(st.text(st.sampled_from("ab:{}<>[],;\"'\\#\n 1.-e0x")))
def test_any_text_is_read_or_refused(text):
    try:
        parse_pbtxt(text)
    except InputError as error:
        assert "line" in str(error)
