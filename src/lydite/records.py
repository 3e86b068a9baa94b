"""Data classes that start quickly: the standard library's, with methods made when first used.

`dataclasses.dataclass` compiles up to six methods a class (0.3 to 0.6 ms in Python 3.11). A command
imports 100 to 260 classes, makes objects of half of them, and hashes or compares a handful. This
decorator takes the same options; the fields are found by the standard library, so that `fields`,
`replace`, `asdict` and classes of the standard decorator that inherit from these work as ever.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, Field, FrozenInstanceError
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, **options):
        """The class with its methods; see `dataclasses.dataclass`.

        Args:
            cls: the class; None where options are given.
            options: `frozen`, `eq`, `repr`, `slots` and `kw_only`.
        """
        if cls is None:
            return lambda decorated: _completed(decorated, **options)
        return _completed(cls)


def _completed(
    cls: Any,
    *,
    frozen: bool = False,
    eq: bool = True,
    repr: bool = True,
    slots: bool = False,
    kw_only: bool = False,
) -> Any:
    own, params = _own_fields(cls, kw_only)
    params.init, params.frozen, params.eq, params.repr = True, frozen, eq, repr
    inherited = (vars(base).get("__dataclass_fields__", {}) for base in reversed(cls.__mro__[1:]))
    known: dict[str, Field[Any]] = {}
    for fields in (*inherited, own):
        known |= fields
    cls = _slotted(cls, own, frozen) if slots else cls
    cls.__dataclass_fields__, cls.__dataclass_params__ = known, params
    shown = dataclasses.fields(cls)
    if "__match_args__" not in vars(cls):
        cls.__match_args__ = tuple(each.name for each in shown if each.init and not each.kw_only)
    hashed = vars(cls).get("__hash__") is not None
    for name, wanted in (("__init__", True), ("__repr__", repr), ("__eq__", eq)):
        if wanted and name not in vars(cls):
            setattr(cls, name, _Late(cls, name))
    if eq and not hashed:
        cls.__hash__ = _Late(cls, "__hash__") if frozen else None
    if frozen:
        cls.__setattr__, cls.__delattr__ = _set, _delete
    return cls


def _own_fields(cls: Any, kw_only: bool) -> tuple[dict[str, Field[Any]], Any]:
    """The fields that a class adds, and its parameters, from the standard library.

    It looks at a class without bases and methods; fields' defaults are left in the given one.
    """
    names = vars(cls).get("__annotations__", {})
    body = {name: vars(cls)[name] for name in names if name in vars(cls)}
    kept = {"__annotations__": names, "__module__": cls.__module__, "__doc__": cls.__name__}
    bare: Any = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(
        type(cls.__name__, (), {**body, **kept})
    )
    for name, value in body.items():
        if isinstance(value, Field):
            if name in vars(bare):
                setattr(cls, name, vars(bare)[name])
            else:
                delattr(cls, name)
    return bare.__dataclass_fields__, bare.__dataclass_params__


def _slotted(cls: Any, own: dict[str, Field[Any]], frozen: bool) -> Any:
    """The class made again, with slots for the fields that it adds."""
    taken = {name for base in cls.__mro__[1:] for name in getattr(base, "__slots__", ())}
    fields = [name for name in own if "ClassVar" not in str(own[name].type)]
    left_out = {*fields, "__dict__", "__weakref__"}
    body = {name: value for name, value in vars(cls).items() if name not in left_out}
    body["__slots__"] = tuple(name for name in fields if name not in taken)
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    if frozen:
        made.__getstate__, made.__setstate__ = _state, _restore
    return made


class _Late:
    """A method that is compiled, and put into its class, when it is first looked up."""

    def __init__(self, owner: type, name: str) -> None:
        self.owner, self.name = owner, name

    def __get__(self, instance: object, kind: type | None = None) -> Any:
        made = vars(self.owner)[self.name]
        if made is self:  # not made meanwhile, by another thread
            made = _compiled(self.owner, self.name)
            setattr(self.owner, self.name, made)
        return made.__get__(instance, kind)


class _Unset:
    """Stands in a signature for what a factory makes."""

    def __repr__(self) -> str:
        return "<factory>"


def _compiled(cls: Any, name: str) -> Any:
    """The function of a method."""
    names: dict[str, Any] = {"_set": object.__setattr__, "_unset": _Unset()}
    exec(_TEXTS[name](cls, names), names)
    made = names[name]
    made.__qualname__, made.__module__ = f"{cls.__qualname__}.{name}", cls.__module__
    if name == "__init__":
        given = {each.name: each.type for each in dataclasses.fields(cls) if each.init}
        made.__annotations__ = {**given, "return": None}
    return recursive_repr()(made) if name == "__repr__" else made


def _init(cls: Any, names: dict[str, Any]) -> str:
    """Text of `__init__`; what it refers to is put into `names`."""
    plain, keyword, body = ["self"], ["*"], ["pass"]
    frozen = cls.__dataclass_params__.frozen
    for each in dataclasses.fields(cls):
        name, value, default = each.name, each.name, ""
        if each.default is not MISSING:
            names[f"_of_{name}"], default = each.default, f"=_of_{name}"
            value = name if each.init else f"_of_{name}"
        elif each.default_factory is not MISSING:
            names[f"_of_{name}"], default = each.default_factory, "=_unset"
            value = (
                f"_of_{name}() if {name} is _unset else {name}" if each.init else f"_of_{name}()"
            )
        if each.init:
            (keyword if each.kw_only else plain).append(name + default)
        elif each.default is not MISSING and "__slots__" not in vars(cls):
            continue  # the class has the value
        body.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    arguments = plain + (keyword if len(keyword) > 1 else [])
    return f"def __init__({', '.join(arguments)}):\n " + "\n ".join(body)


def _tuple(cls: Any, of: str) -> str:
    """Text of a tuple of the fields by which objects are compared."""
    return "(" + "".join(f"{of}.{f.name}," for f in dataclasses.fields(cls) if f.compare) + ")"


def _eq(cls: Any, _: dict[str, Any]) -> str:
    return (
        "def __eq__(self, other):\n if other.__class__ is self.__class__:\n"
        f"  return {_tuple(cls, 'self')} == {_tuple(cls, 'other')}\n return NotImplemented"
    )


def _repr(cls: Any, _: dict[str, Any]) -> str:
    shown = ", ".join(f"{f.name}={{self.{f.name}!r}}" for f in dataclasses.fields(cls) if f.repr)
    return f'def __repr__(self):\n return f"{{self.__class__.__qualname__}}({shown})"'


_TEXTS: dict[str, Callable[[Any, dict[str, Any]], str]] = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": lambda cls, _: f"def __hash__(self):\n return hash({_tuple(cls, 'self')})",
    "__repr__": _repr,
}


def _guarded(self: Any, name: str) -> bool:
    kind = type(self)
    return name in kind.__dataclass_fields__ or "__dataclass_fields__" in vars(kind)


def _set(self: Any, name: str, value: object) -> None:
    """`__setattr__` of frozen classes."""
    if _guarded(self, name):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _delete(self: Any, name: str) -> None:
    """`__delattr__` of frozen classes."""
    if _guarded(self, name):
        raise FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _state(self: Any) -> list[Any]:
    """What is pickled of frozen classes with slots."""
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
