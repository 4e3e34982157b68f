"""The TensorRT backend on a stand-in of one version: sizes, passes at once, memory, failures."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from patience import PATIENCE
from tensorrt_stand_in.passes import (
    CACHES,
    HEIGHT,
    MASKS,
    STEPS,
    OnStandIn,
    assert_same,
    exported_tiny,
    inputs,
    on_onnx_runtime,
    run,
)
from tensorrt_stand_in.plans import pack
from tensorrt_stand_in.versions import VERSIONS, skip_where_unknown
from tiny_checkpoint import rectangles

from perceptiondlm_ros.errors import BackendError, CheckpointError, OutOfMemoryError
from perceptiondlm_ros.model.contract import Buckets
from perceptiondlm_ros.model.manifest import Manifest
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.runtime.backend import DenoisingState
from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.tensorrt.build import Built
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineKey, EngineSpec
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore
from perceptiondlm_ros.runtime.tensorrt.products import Target
from perceptiondlm_ros.runtime.tensorrt.tensorrt_backend import TensorRTBackend

if TYPE_CHECKING:
    from tensorrt_stand_in.plans import Script


@pytest.fixture
def trt_version() -> str:
    """What follows is the same in every version."""
    skip_where_unknown(VERSIONS[-1])
    return VERSIONS[-1]


def test_inputs_of_any_size_follow_one_another(load: OnStandIn) -> None:
    backend = load()
    for width, count, prompt in [(80, 2, "what?"), (240, 6, "a longer prompt"), (60, 1, "?")]:
        regions = [Region.of_mask(mask) for mask in rectangles(HEIGHT, width, count)]
        of = inputs(backend, [regions], width, prompt=prompt)
        for mode in CACHES:
            assert_same(run(backend, of, mode), run(on_onnx_runtime(), of, mode))


def test_where_recording_fails_it_goes_on_without(
    load: OnStandIn,
    trt_script: Script,
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = load()
    trt_script.refuse_capture = True
    of = inputs(backend, [MASKS[:3]])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert_same(run(backend, of, "prefix"), run(on_onnx_runtime(), of, "prefix"))
    assert trt_script.gpu.graph_launches == 0
    said = [r.message for r in caplog.records if "without a CUDA graph" in r.message]
    assert len(said) == 2, "once for each of the two profiles"


def test_passes_at_the_same_time_do_not_disturb_each_other(load: OnStandIn) -> None:
    backend = load()
    many = [inputs(backend, [MASKS[:count]]) for count in (1, 3, 5)]
    sessions = [backend.start(of, "prefix", STEPS) for of in many]
    for _ in range(max(session.steps for session in sessions)):
        for session in sessions:
            if session._done < session.steps:
                session.step()
    for session, of in zip(sessions, many, strict=True):
        assert_same(session.state(), run(on_onnx_runtime(), of, "prefix"))


def test_memory_is_reused_and_given_back(load: OnStandIn, trt_script: Script) -> None:
    backend, gpu = load(), trt_script.gpu
    of = inputs(backend, [MASKS[:3]])
    run(backend, of, "prefix")
    used = gpu.used
    run(backend, of, "prefix")
    assert gpu.used == used
    backend.close()
    assert (gpu.used, gpu.streams, load.cuda.graphs) == (0, {}, 0)
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.start(of, "prefix", STEPS)


def test_a_session_outlives_its_backend(load: OnStandIn, trt_script: Script) -> None:
    backend = load()
    of = inputs(backend, [MASKS[:3]])
    session = backend.start(of, "prefix", STEPS)
    session.step()
    backend.close()
    assert_same(denoise_rest(session), run(on_onnx_runtime(), of, "prefix"))
    del session
    assert trt_script.gpu.used == 0


def denoise_rest(session: Any) -> DenoisingState:
    for _ in range(session.steps - 1):
        session.step()
    return session.state()


def test_memory_that_is_used_up_is_said_and_the_next_pass_runs(
    load: OnStandIn, trt_script: Script
) -> None:
    backend = load()
    few, many = inputs(backend, [MASKS[:1]]), inputs(backend, [MASKS[:6]] * 8)
    run(backend, few, "prefix")
    trt_script.gpu.memory = trt_script.gpu.used + 100_000
    with pytest.raises(OutOfMemoryError, match=r"ran out of memory .*fewer regions a frame"):
        run(backend, many, "prefix")
    trt_script.gpu.memory = 2**33
    for of in (few, many, few):
        assert_same(run(backend, of, "prefix"), run(on_onnx_runtime(), of, "prefix"))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"groups": [MASKS[:1]] * 9}, "patch_masks"),
        ({"prompt": "x" * 600}, "token_ids"),
        ({"caption_tokens": 7}, "caption_rows"),
    ],
)
def test_what_the_engines_were_not_built_for_is_said(
    load: OnStandIn, options: dict[str, Any], name: str
) -> None:
    backend = load()
    groups = options.pop("groups", [MASKS])
    groups = groups if len(groups) > 1 else [MASKS[:6]]
    with pytest.raises(BackendError, match=rf"{name} has shape .* was built for .*; use fewer"):
        run(backend, inputs(backend, groups, **options), "prefix")
    of = inputs(backend, [MASKS[:2]])
    assert_same(run(backend, of, "prefix"), run(on_onnx_runtime(), of, "prefix"))


def test_the_state_comes_after_a_step_and_no_step_after_the_last(load: OnStandIn) -> None:
    backend = load()
    session = backend.start(inputs(backend, [MASKS[:1]]), "prefix", STEPS)
    with pytest.raises(BackendError, match="no denoising step was run yet"):
        session.state()
    denoise(session)
    with pytest.raises(BackendError, match=r"all .* steps were run"):
        session.step()


def test_an_engine_that_tensorrt_refuses_is_built_again(
    load: OnStandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    load()
    # Whole, and of the right key, but nothing that TensorRT knows.
    store = EngineStore(tmp_path / "engines")
    (described,) = store.folder.glob("denoiser-*.json")
    key = EngineKey(**json.loads(described.read_text())["key"])
    store.add(key, memoryview(b"not a plan"), 1.0)
    built: list[str] = []

    def build(trt: Any, log: Any, spec: EngineSpec, target: Target, **unused: Any) -> Built:
        built.append(spec.name)
        return Built(memoryview(pack(spec, target)), b"")

    monkeypatch.setattr("perceptiondlm_ros.runtime.tensorrt.engine_loader.build", build)
    load()
    assert built == ["denoiser"]
    assert "can't load the engine of denoiser (the plan is damaged); building it" in caplog.text


def test_a_config_of_another_export_is_refused(load: OnStandIn, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported_tiny(), copy)
    (copy / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json has .* bytes, expected"):
        load(copy)


def test_an_export_for_cpus_is_refused(load: OnStandIn, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported_tiny(), copy)
    manifest = Manifest.read(copy)
    graphs = {name: replace(graph, file=None) for name, graph in manifest.graphs.items()}
    replace(manifest, graphs=graphs, precision="int8").write(copy)
    with pytest.raises(BackendError, match=r"precision int8, which runs on CPUs alone; export"):
        load(copy)


def test_padding_to_buckets_is_asked_for(load: OnStandIn) -> None:
    assert load().buckets == Buckets(tiles=(1, 3, 4, 5, 6, 7), slots=(1, 2, 4, 6))


def test_without_tensorrt_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensorrt", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendError, match=r"needs the Python package tensorrt.*pip install"):
        TensorRTBackend.load(exported_tiny(), "auto")


def test_it_runs_without_torch() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import perceptiondlm_ros.runtime.tensorrt.tensorrt_backend\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
