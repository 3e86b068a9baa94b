from lydite.errors import InputError, MissingExtra, unknown_name


def test_message_says_what_where_allowed_and_next():
    error = InputError("bad size 0", where="net.onnx: conv1", allowed="1 and up", hint="use --dim")
    assert str(error) == "net.onnx: conv1: bad size 0; allowed: 1 and up; use --dim"


def test_nearest_name():
    text = str(unknown_name("device", "h10", ["h100", "v100", "mi250"]))
    assert text == "unknown device 'h10'; allowed: h100, mi250, v100; did you mean 'h100'?"


def test_far_names_are_not_suggested_and_long_lists_are_cut():
    text = str(unknown_name("model", "zzz", [f"net{i:02}" for i in range(20)]))
    assert "did you mean" not in text
    assert text.endswith("net11 and 8 more")


def test_missing_extra_says_what_to_type():
    assert str(MissingExtra("torch", "torch")).endswith("type: pip install 'lydite[torch]'")
