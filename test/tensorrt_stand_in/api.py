"""A module with the names and signatures of one version of TensorRT's Python bindings, and no more.

Made from `api-VERSION.json` or the real bindings. It is a stand-in: it holds code against the real
surface (an unknown name, an argument that no signature takes, a property that can't be set, a class
that can't be constructed all fail as with the real one), and leaves what calls do to `Behaviour`
classes. What has no behaviour raises NotImplementedError, so that nothing passes by doing nothing.

The numbers behind enumerations are the stand-in's own: code that writes one down fails.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from tensorrt_stand_in.signatures import Signature, call, parse
from tensorrt_stand_in.versions import Api

_FIRST_NUMBER = 3
_DATA = {"IHostMemory": bytes}
"""Classes whose instances give access to memory; before Python 3.12 only built-in ones can."""


class _Number(enum.Enum):
    """As pybind11's enumerations: a number on demand, but equal to none."""

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return int(self.value)


def state(instance: Any) -> SimpleNamespace:
    """What the stand-in keeps with an object, out of reach for the code under test."""
    kept = object.__getattribute__(instance, "__dict__").get("_state")
    if kept is None:
        raise TypeError(f"{type(instance).__name__}.__init__() must be called when overriding it")
    result: SimpleNamespace = kept
    return result


def make(cls: type, *args: Any, **kept: Any) -> Any:
    """An object of a class that callers can't construct."""
    instance = cls.__new__(cls, *args)
    object.__getattribute__(instance, "__dict__")["_state"] = SimpleNamespace(**kept)
    return instance


def make_module(
    api: Api, version: str, behaviours_of: Callable[[ModuleType], dict[str, type]]
) -> ModuleType:
    """The module.

    Args:
        behaviours_of: gives, for names of classes of the module, what their methods and properties
            do: functions of these names, called with the object and the arguments by name; `init`
            follows the constructor.
    """
    module = ModuleType("tensorrt", f"Stand-in for TensorRT {version}; computes on the host.")
    module.__version__ = version  # type: ignore[attr-defined]
    behaviours = behaviours_of(module)
    unknown = set(behaviours) - set(api)
    assert not unknown, f"behaviour for what TensorRT {version} doesn't have: {unknown}"
    for name in api:
        if "members" in api[name]:
            _add_class(module, api, name, behaviours)
        else:
            setattr(module, name, _without_behaviour(name))
    return module


def _add_class(module: ModuleType, api: Api, name: str, behaviours: dict[str, type]) -> type:
    made = vars(module).get(name)
    if made is not None:
        return made
    members = api[name]["members"]
    if members and all(member["kind"] == "enum" for member in members.values()):
        made = _enumeration(name, members)
    else:
        bases = tuple(_add_class(module, api, base, behaviours) for base in api[name]["bases"])
        # A base that another base derives from already would break Python's order of bases.
        bases = tuple(b for b in bases if not any(b is not c and issubclass(c, b) for c in bases))
        made = _class(module, name, members, bases, behaviours.get(name))
    setattr(module, name, made)
    return made


def _enumeration(name: str, names: Any) -> type:
    numbers = {member: _FIRST_NUMBER + i for i, member in enumerate(sorted(names))}
    return _Number(name, numbers)


def _class(
    module: ModuleType, name: str, members: Any, bases: tuple[type, ...], behaviour: type | None
) -> type:
    namespace: dict[str, Any] = {"__doc__": f"Stand-in for tensorrt.{name}.", "_generated": True}
    _check_behaviour(name, members, behaviour)
    if "Severity" in members:
        severity = _enumeration("Severity", [m for m in members if members[m]["kind"] == "value"])
        namespace |= {"Severity": severity, **severity.__members__}  # type: ignore[attr-defined]
    for member, what in members.items():
        if what["kind"] == "property":
            namespace[member] = _property(name, member, what["settable"], behaviour)
        elif what["kind"] == "method" and member not in ("__init__", "Severity"):
            namespace[member] = _method(module, name, member, what.get("signatures", []), behaviour)
    namespace["__init__"] = _constructor(module, name, members.get("__init__", {}), behaviour)
    namespace["__setattr__"] = _set_attribute
    for special in ("__len__", "__getitem__", "__iter__"):
        if behaviour is not None and special in vars(behaviour):
            namespace[special] = vars(behaviour)[special]
    if name in _DATA:
        namespace["__getattribute__"] = _only(set(members))
        bases = (*bases, _DATA[name])
    return type(name, bases or (object,), namespace)


def _check_behaviour(name: str, members: Any, behaviour: type | None) -> None:
    """A behaviour for what the version doesn't have is left out, unless it was misspelt."""
    for function in vars(behaviour or object) if behaviour else ():
        public = not function.startswith("_") and function != "init"
        known = function in members or function in getattr(behaviour, "_versions", ())
        assert not public or known, f"{name} has no member {function}"


def _method(
    module: ModuleType, owner: str, name: str, texts: list[str], behaviour: type | None
) -> Callable[..., Any]:
    signatures = _parsed(texts)
    function = vars(behaviour).get(name) if behaviour else None

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not signatures:
            raise NotImplementedError(f"the arguments of {owner}.{name} are not known")
        bound = call(f"{owner}.{name}", signatures, args, kwargs, _classes(module))
        _check_ready([self, *bound.values()])
        if function is None:
            raise NotImplementedError(f"the stand-in has no behaviour for {owner}.{name}")
        return function(self, **bound)

    return method


def _constructor(
    module: ModuleType, owner: str, what: Any, behaviour: type | None
) -> Callable[..., None]:
    signatures = _parsed(what.get("signatures", []))
    function = vars(behaviour).get("init") if behaviour else None

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if not signatures:
            raise TypeError(f"tensorrt.{owner}: No constructor defined!")
        bound = call(f"{owner}.__init__", signatures, args, kwargs, _classes(module))
        object.__getattribute__(self, "__dict__")["_state"] = SimpleNamespace()
        _check_ready(list(bound.values()))
        if function is not None:
            function(self, **bound)

    return init


def _property(owner: str, name: str, settable: bool, behaviour: type | None) -> property:
    function = vars(behaviour).get(name) if behaviour else None

    def get(self: Any) -> Any:
        if function is not None:
            return function(self)
        if settable:
            return vars(state(self)).get(name)
        raise NotImplementedError(f"the stand-in has no behaviour for {owner}.{name}")

    def put(self: Any, value: Any) -> None:
        setattr(state(self), name, value)

    return property(get, put if settable else None)


def _set_attribute(self: Any, name: str, value: Any) -> None:
    """Only what can be set, but subclasses written in Python may have more."""
    own = "_generated" in vars(type(self))
    if own and not isinstance(getattr(type(self), name, None), property):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    object.__setattr__(self, name, value)


def _only(members: set[str]) -> Callable[[Any, str], Any]:
    """Hide what a built-in base has beside the members."""

    def get(self: Any, name: str) -> Any:
        if name not in members and not name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return object.__getattribute__(self, name)

    return get


def _check_ready(values: list[Any]) -> None:
    for value in values:
        if getattr(type(value), "_generated", False):
            state(value)


def _parsed(texts: list[str]) -> tuple[Signature, ...]:
    return tuple(found for found in map(parse, texts) if found is not None)


def _classes(module: ModuleType) -> Callable[[str], type | None]:
    def find(name: str) -> type | None:
        found: Any = module
        for part in name.split("."):
            found = vars(found).get(part)
            if found is None:
                return None
        return found if isinstance(found, type) else None

    return find


def _without_behaviour(name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"the stand-in has no behaviour for tensorrt.{name}")

    return function
