"""Classes whose methods are made late, against the standard library's of the same body."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
import re
import subprocess
import sys
import threading
from dataclasses import FrozenInstanceError, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pytest

import lydite
from lydite.records import dataclass

OPTIONS = [
    dict(zip(("frozen", "eq", "repr", "slots", "kw_only"), values, strict=True))
    for values in itertools.product((False, True), repeat=5)
]


def pair(**options: bool) -> tuple[Any, Any]:
    """The same class by both decorators."""

    def body() -> Any:
        class Body:
            """Fields of every kind."""

            first: int
            second: str = "two"
            many: list[int] = field(default_factory=list)
            aside: float = field(default=0.5, compare=False)
            hidden: str = field(default="seen", repr=False)
            fixed: str = field(default="fixed", init=False)
            made: dict[str, int] = field(default_factory=dict, init=False)
            shared: ClassVar[int] = 3

        return Body

    return dataclass(**options)(body()), dataclasses.dataclass(**options)(body())


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_late_methods_are_the_standard_librarys(options: dict[str, bool]):
    ours, theirs = pair(**options)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    assert ours.__match_args__ == theirs.__match_args__
    assert ours.__dataclass_params__.__repr__() == theirs.__dataclass_params__.__repr__()
    assert ours.shared == 3
    for given in ({"first": 1}, {"first": 1, "second": "x", "many": [4]}, {}):
        if not given:
            for kind in (ours, theirs):
                with pytest.raises(TypeError, match="first"):
                    kind()
            continue
        a, b = ours(**given), theirs(**given)
        assert dataclasses.asdict(a) == dataclasses.asdict(b)
        assert getattr(a, "__dict__", None) == getattr(b, "__dict__", None)
        other = dataclasses.replace(a, aside=9.0)
        assert (a == other) == (b == dataclasses.replace(b, aside=9.0)) == options["eq"]
        assert a != b
        assert copy.deepcopy(a).many == copy.copy(a).many == given.get("many", [])
        if options["repr"]:
            assert repr(a) == repr(b)
        assert (ours.__hash__ is None) == (theirs.__hash__ is None)
        for each in (a, b):
            if options["frozen"]:
                with pytest.raises(FrozenInstanceError, match="cannot assign to field 'second'"):
                    each.second = "y"
                with pytest.raises(FrozenInstanceError, match="cannot delete field 'second'"):
                    del each.second
                with pytest.raises((FrozenInstanceError, TypeError)):  # 3.11 has a fault here
                    each.unknown = 1
            else:
                each.second = "y"
                assert each.second == "y"


def test_hash_is_that_of_the_compared_fields():
    @dataclass(frozen=True)
    class Point:
        x: int
        y: int = 2
        note: str = field(default="", compare=False)

    assert hash(Point(1)) == hash((1, 2)) == hash(Point(1, note="other"))
    assert len({Point(1), Point(1, 2, "a"), Point(2)}) == 2


def test_methods_of_the_class_itself_are_kept():
    @dataclass(frozen=True)
    class Own:
        x: int

        def __post_init__(self) -> None:
            object.__setattr__(self, "x", self.x + 1)

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

        def __repr__(self) -> str:
            return "own"

    assert (Own(1).x, Own(1) == 5, hash(Own(1)), repr(Own(1))) == (2, True, 7, "own")


@dataclass(frozen=True, slots=True)
class Base:
    x: int
    y: int = 2


@dataclass(frozen=True, slots=True)
class Derived(Base):
    y: int = 5
    z: int = 3


@dataclasses.dataclass(frozen=True)
class Standard(Base):
    z: int = 3


class Plain(Base):
    """Inherits what is made late."""


def test_classes_inherit_fields_and_methods():
    assert (Derived(1), Derived.__slots__) == (Derived(1, 5, 3), ("z",))
    assert Derived(1) != Derived(1, 2)
    assert repr(Standard(1)) == "Standard(x=1, y=2, z=3)"
    plain = Plain(1)
    assert (plain.x, plain.y, plain == Plain(1)) == (1, 2, True)
    with pytest.raises(FrozenInstanceError):
        plain.x = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert copy.copy(Derived(1, 6)) == Derived(1, 6)


def test_threads_that_use_a_class_first_at_once_all_get_its_methods():
    for _ in range(50):

        @dataclass(frozen=True)
        class Shared:
            x: int
            y: int = 2

        start, made = threading.Barrier(4), []

        def use(kind: Any = Shared, start: Any = start, made: Any = made) -> None:
            start.wait()
            made.append(kind(1))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [Shared(1, 2)] * 4


def test_every_class_of_the_package_has_the_standard_signature():
    """Each class's `__init__`, against one that `make_dataclass` writes for the same fields."""
    seen = 0
    package = Path(lydite.__file__).parent
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        if parts[0] in ("__init__", "__main__", "smaug"):
            continue
        module = ".".join(("lydite", *(part for part in parts if part != "__init__")))
        try:
            names = vars(import_module(module))
        except ImportError:  # an extra that is not installed here
            continue
        for kind in names.values():
            if not (isinstance(kind, type) and "__dataclass_fields__" in vars(kind)):
                continue
            if kind.__module__ != module or "__init__" not in vars(kind):
                continue
            fields = [(each.name, each.type, copy.copy(each)) for each in dataclasses.fields(kind)]
            standard = dataclasses.make_dataclass(kind.__name__, fields)
            assert str(inspect.signature(kind)) == str(inspect.signature(standard)), kind
            seen += 1
    assert seen > 300


def test_the_package_takes_the_decorator_from_here():
    package = Path(lydite.__file__).parent
    taken = re.compile(r"^\s*from dataclasses import .*\bdataclass\b", re.MULTILINE)
    found = [each.name for each in package.rglob("*.py") if taken.search(each.read_text())]
    assert found == ["records.py"]  # for type checkers


def test_commands_compile_no_methods_that_they_do_not_use():
    code = """
import dataclasses, sys
from lydite.cli import main
sys.argv = ["lydite", "inspect", "resnet50", "--json"]
try:
    main()
except SystemExit:
    pass
from lydite.opkey import OpKey
from lydite.graph import Work
methods = vars(OpKey)["__repr__"], vars(Work)["__init__"]
print(*(type(each).__name__ for each in methods), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["_Late", "function"]
