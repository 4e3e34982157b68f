"""The tiny export on stand-ins of TensorRT."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tensorrt_stand_in.building import Script
    from tensorrt_stand_in.passes import OnStandIn


@pytest.fixture
def load(
    trt: ModuleType, trt_script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> OnStandIn:
    """Loads the tiny export, or another folder; engines are kept in `tmp_path / "engines"`."""
    from tensorrt_stand_in.passes import OnStandIn

    monkeypatch.setenv("PERCEPTIONDLM_ENGINES", str(tmp_path / "engines"))
    return OnStandIn(trt, trt_script.gpu)
