"""Values that are what their annotation says, and dataclasses made of tables that are.

For settings that somebody writes down: what cannot be meant is refused with what came and what was
wanted. Light, so that what only reads need not load torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Table = TypeVar("Table")
_WORDS = {
    **{int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"},
    **{NoneType: "none", Any: "a value"},
}


def read(kind: type[Table], given: Any, name: str = "") -> Table:
    """A dataclass made of a mapping, such as a table of a TOML file.

    Every key has to be a field (`for_` is the field of a key "for"), every field without a default
    has to be given, and every value has to be what the field's annotation says. Since TOML has no
    word for it, "none" is None where that is allowed.

    Args:
        name: of what the mapping is, for the errors.

    Raises:
        ValueError: with the key, what came and what was wanted.
    """
    before = f"{name}." if name else ""
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} is {brief(given)}; wanted a table of {_names(kind)}")
    known = {field.name.rstrip("_"): field for field in fields(kind) if field.init}
    for key in given:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"unknown key {before}{key}; {guess}there is {_names(kind)}")
    for key, field in known.items():
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and key not in given:
            raise ValueError(f"{before}{key} is missing; wanted {words(hints(kind)[field.name])}")
    values = {}
    for key, value in given.items():
        hint = hints(kind)[known[key].name]
        optional = value == "none" and NoneType in get_args(hint)
        values[known[key].name] = None if optional else checked(value, hint, before + key)
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" if name else str(error)) from None


def check_fields(holder: Any) -> None:
    """For a frozen dataclass's __post_init__: every field is what its annotation says.

    Lists become tuples. Raises ValueError with the field, what came and what was wanted.
    """
    found = hints(type(holder))
    for field in fields(holder):
        value = checked(getattr(holder, field.name), found[field.name], field.name)
        object.__setattr__(holder, field.name, value)


def check_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """For the first line of a function, with locals(): every argument is what its hint says."""
    for name, kind in hints(function).items():
        if name in given:
            checked(given[name], kind, name)


def check_least(holder: Any, least: int, *names: str) -> None:
    """ValueError unless these fields of a holder are this number or more, or None."""
    for name in names:
        value = getattr(holder, name)
        if isinstance(value, int | float) and value < least:
            raise ValueError(f"{name} is {value}; wanted {least} or more")


def want(holder: Any, right: Any, *names: str, why: str) -> None:
    """ValueError unless something is right: what fields of a holder are, and what is wanted."""
    if not right:
        said = ", ".join(f"{name} {brief(getattr(holder, name))}" for name in names)
        raise ValueError(f"{said.replace(' ', ' is ', 1)}; {why}")


def check_choice(name: str, value: object, choices: Sequence[str | int]) -> None:
    """ValueError unless a value is one of these."""
    if not isinstance(value, str | int) or value not in choices:
        raise ValueError(f"{name} is {brief(value)}; choose one of {', '.join(map(repr, choices))}")


def check_whole(name: str, value: object, least: int = 1) -> None:
    """ValueError unless a value is an int of `least` or more, of 64 bits; true and 2.0 are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise ValueError(f"{name} is {brief(value)}; wanted a whole number of {least} or more")


def brief(value: object) -> str:
    """What came, for a message: as Python writes it, on one line, and not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else f"{text[:100]} ..."


def checked(value: Any, kind: Any, name: str) -> Any:
    """The value, if it is what an annotation says; ValueError if not.

    Args:
        kind: a class, or made of Literal, Union, tuple, Sequence and Mapping. A bool is no number,
            1.5 is no int, an int is taken where a float is wanted, and no number may be infinite or
            NaN. Sequences are given back as tuples.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        table = next(filter(is_dataclass, inner), None)
        if table and isinstance(value, Mapping):  # an error inside it is the one to tell
            return read(table, value, name)
        for one in inner:
            with suppress(ValueError):
                return checked(value, one, name)
    elif origin is Literal:
        for one in inner:
            if type(value) is type(one) and value == one:
                return one
    elif origin in (tuple, Sequence):
        fixed = origin is tuple and Ellipsis not in inner
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            kinds = inner if fixed else inner[:1] * len(value)
            if len(kinds) == len(value):
                pairs = zip(value, kinds, strict=True)
                with nullcontext() if is_dataclass(inner[0]) else suppress(ValueError):
                    return tuple(checked(*pair, name) for pair in pairs)
    elif origin is Mapping:
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {key: checked(one, inner[1], f"{name}.{key}") for key, one in value.items()}
    elif is_dataclass(kind):
        return value if isinstance(value, kind) else read(kind, value, name)
    elif kind is int:
        if isinstance(value, Integral) and not isinstance(value, bool) and abs(value) < 2**63:
            return int(value)
    elif kind is float:
        finite = isinstance(value, Real) and abs(value) <= sys.float_info.max
        if finite and not isinstance(value, bool):
            return float(value)
    elif kind is Any or isinstance(value, kind):
        return value
    raise ValueError(f"{name} is {brief(value)}; wanted {words(kind)}")


def words(kind: Any) -> str:
    """An annotation in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join("true or false" if isinstance(x, bool) else repr(x) for x in inner)
    if origin in (Union, UnionType):
        return " or ".join(words(one) for one in inner)
    if origin is tuple and Ellipsis not in inner:
        return f"a list of {len(inner)} values, each {words(inner[0])}"
    if origin in (tuple, Sequence):
        return f"a list of values, each {words(inner[0])}"
    if origin is Mapping:
        return f"a table of which each value is {words(inner[1])}"
    if is_dataclass(kind):
        return f"a table of {_names(kind)}"
    return _WORDS.get(kind) or f"a {kind.__name__}"


def on_one_line(text: str) -> str:
    """Text that can be printed, with names of files in it: such a name need not be text."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows of cells as lines of text, one below the other; right: places of columns of numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = (
        [f"{cell:{'>' if i in right else '<'}{widths[i]}}" for i, cell in enumerate(row)]
        for row in rows
    )
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)


@cache
def hints(kind: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, or of a class and its bases, as what they stand for."""
    return get_type_hints(kind)


def _names(kind: type) -> str:
    return ", ".join(field.name.rstrip("_") for field in fields(kind) if field.init)
