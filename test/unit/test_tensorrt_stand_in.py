"""The stand-in for TensorRT refuses what the real one would refuse."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tensorrt_stand_in.versions import API_FOLDER, VERSIONS, api_path


def test_all_versions_are_found() -> None:
    if not API_FOLDER.is_dir() and "CI" not in os.environ:
        pytest.skip(f"the surface of TensorRT is not known: {API_FOLDER} does not exist")
    assert [api_path(version).name for version in VERSIONS if api_path(version).is_file()] == [
        f"api-{version}.json" for version in VERSIONS
    ]


@pytest.fixture
def log(trt: ModuleType) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None: ...

    return Log()


@pytest.fixture
def builder(trt: ModuleType, log: Any) -> Any:
    return trt.Builder(log)


REFUSED: list[tuple[type[Exception], Callable[[Any, Any], Any]]] = [
    (AttributeError, lambda trt, builder: trt.float33),
    (AttributeError, lambda trt, builder: trt.BuilderFlag.FP17),
    (AttributeError, lambda trt, builder: builder.create_networks()),
    (AttributeError, lambda trt, builder: setattr(builder, "note", 1)),
    (AttributeError, lambda trt, builder: setattr(builder, "num_DLA_cores", 1)),
    (TypeError, lambda trt, builder: builder.create_network(1.0)),
    (TypeError, lambda trt, builder: builder.create_network(trt.NetworkDefinitionCreationFlag)),
    (TypeError, lambda trt, builder: builder.create_network(flag=0)),
    (TypeError, lambda trt, builder: builder.create_network(0, 0)),
    (TypeError, lambda trt, builder: builder.is_network_supported("network", None)),
    (TypeError, lambda trt, builder: trt.Builder()),
    (TypeError, lambda trt, builder: trt.Builder(object())),
    (TypeError, lambda trt, builder: trt.INetworkDefinition()),
    (TypeError, lambda trt, builder: trt.Dims((1, "x"))),
    (NotImplementedError, lambda trt, builder: builder.reset()),
    (NotImplementedError, lambda trt, builder: builder.create_builder_config()),
]


@pytest.mark.parametrize(("error", "act"), REFUSED)
def test_what_is_not_there_or_does_not_fit_is_refused(
    trt: ModuleType,
    builder: Any,
    error: type[Exception],
    act: Callable[[Any, Any], Any],
) -> None:
    with pytest.raises(error):
        act(trt, builder)


def test_a_subclass_that_skips_the_constructor_is_refused(trt: ModuleType) -> None:
    class Silent(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None: ...

    with pytest.raises(TypeError, match="__init__"):
        trt.Builder(Silent())


def test_enumerations_are_values_and_equal_to_no_number(trt: ModuleType) -> None:
    flag = trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert flag.name == "STRONGLY_TYPED"
    assert flag != int(flag)
    assert isinstance(flag, trt.NetworkDefinitionCreationFlag)
    assert trt.ILogger.ERROR is trt.ILogger.Severity.ERROR


def test_versions_differ_as_the_real_ones_do(trt: ModuleType) -> None:
    old = trt.__version__.startswith("10.")
    assert hasattr(trt.BuilderFlag, "FP16") is old
    assert hasattr(trt.ICudaEngine, "device_memory_size") is old
    assert hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH") is old
    assert hasattr(trt, "ComputeCapability") is trt.__version__.startswith("1.")
    assert hasattr(trt.ICudaEngine, "create_runtime_config") is not (trt.__version__ == "10.3.0")


def test_overloads_are_told_apart(trt: ModuleType) -> None:
    assert len(trt.Dims()) == 0
    assert tuple(trt.Dims([1, 2])) == (1, 2)
