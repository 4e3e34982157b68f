"""Declaring, reading and checking the node's parameters, which are the fields of `settings`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.ros.settings import SPECS, Applies, Settings, Spec, with_values

_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a decimal point",
    str: "text",
}

_BY_NAME = {spec.name: spec for spec in SPECS}


def declare(node: Node) -> None:
    """Declare every parameter.

    Raises:
        ValueError: an initial value of another type, or none of those that are possible.
        ParameterException: rclpy's, for one that is out of range.
    """
    for spec in SPECS:
        given = node._parameter_overrides.get(spec.name)  # rclpy's error doesn't say what it was
        problem = type_problem(spec.name, given.value) if given else ""
        if not problem:
            value: object = node.declare_parameter(spec.name, spec.default, _descriptor(spec)).value
            problem = _problem(spec, value)
        if problem:
            raise ValueError(f"parameter {spec.name}: {problem}")


def check(
    parameters: Sequence[Parameter[Any]], check_prompt: Callable[[str], None] | None
) -> SetParametersResult:
    """Whether these may be set now: with a loaded model, not those that it was loaded with.

    check_prompt: raises InputError for a prompt that the model can't take; None: none is loaded.
    """
    for parameter in parameters:
        spec = _BY_NAME.get(parameter.name)
        if spec is None:
            continue  # not ours: use_sim_time, qos_overrides
        problem = _problem(spec, parameter.value)
        if spec.name == "prompt" and check_prompt and isinstance(parameter.value, str):
            problem = _refusal(check_prompt, parameter.value)
        elif not problem and check_prompt and spec.applies is Applies.AT_CONFIGURE:
            problem = f"{spec.applies.value}; bring the node to `unconfigured` (cleanup) first"
        if problem:
            return SetParametersResult(successful=False, reason=f"{spec.name} {problem}")
    return SetParametersResult(successful=True)


def type_problem(name: str, value: object) -> str:
    """Why a value is of another type than the parameter, and how it is written; else empty.

    ROS reads values as YAML, on the command line too, and what looks like a number is one.
    """
    spec = _BY_NAME.get(name)
    if spec is None or type(value) is type(spec.default):
        return ""
    got = next((told for kind, told in _KINDS.items() if isinstance(value, kind)), "a list")
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    read_as = "nothing" if value is None else f"{shown}, which was read as {got}"
    expected = _KINDS[type(spec.default)]
    return f"got {read_as}, expected {expected}; write {_as_written(spec, value)}"


def _as_written(spec: Spec, value: object) -> str:
    """How a value of another type would be written."""
    if isinstance(spec.default, str):
        text = _text(value)
        return f"""it in quotes: -p {spec.name}:="'{text}'" on a command line, '{text}' in a file"""
    if isinstance(spec.default, bool):
        return "true or false, without quotes"
    if isinstance(spec.default, float) and type(value) is int:
        return f"{value}.0"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return f"one such as {spec.default}, without quotes"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):  # it may have been yes, on or n
        return "..."
    return ",".join(map(str, value)) if isinstance(value, Iterable) else str(value)


def read(node: Node) -> Settings:
    """The present values of all parameters."""
    return with_values(Settings(), lambda name: node.get_parameter(name).value)


def _refusal(check: Callable[[str], None], value: str) -> str:
    try:
        check(value)
    except InputError as error:
        return f"can't be used: {error}"
    return ""


def _problem(spec: Spec, value: object) -> str:
    """What is wrong with the value beyond its type and range, which rclpy checks; else empty."""
    if spec.choices and value not in spec.choices:
        return f"is {value!r}, expected one of {', '.join(spec.choices)}"
    if spec.bounds and isinstance(value, int) and 0 < value < spec.least:
        return f"is {value}, expected 0 or {spec.least} to {spec.bounds[1]:g}"
    return ""


def _descriptor(spec: Spec) -> ParameterDescriptor:
    constraints = f"one of {', '.join(spec.choices)}" if spec.choices else ""
    descriptor = ParameterDescriptor(
        description=f"{spec.description} It {spec.applies.value}.",
        additional_constraints=constraints,
        read_only=spec.applies is Applies.AT_START,
    )
    if spec.bounds and isinstance(spec.default, float):
        low, high = spec.bounds
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif spec.bounds:
        low, high = map(int, spec.bounds)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor
