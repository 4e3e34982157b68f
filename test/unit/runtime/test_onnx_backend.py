"""The ONNX Runtime backend: groups, caches, devices, failures, and the shipped checkpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import exported_folder
import numpy as np
import onnxruntime
import pytest
from exported_models import exported, tiny
from tiny_checkpoint import picture, rectangles, tiny_tokenizer

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.model.contract import Buckets, ModelInputs
from perceptiondlm_ros.processing.model_inputs import prepare_inputs
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.runtime.backend import CacheMode
from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.onnx_backend import Graphs, OnnxBackend
from perceptiondlm_ros.runtime.onnx_devices import OnnxDevice
from perceptiondlm_ros.runtime.torch_backend import TorchBackend

HEIGHT, WIDTH, STEPS = 60, 80, 6
MASKS = [Region.of_mask(mask) for mask in rectangles(HEIGHT, WIDTH, 7)]
CACHES: tuple[CacheMode, ...] = ("exact", "prefix")


@pytest.fixture
def checkpoint() -> Path:
    return tiny()


@pytest.fixture(scope="module")
def backend() -> OnnxBackend:
    return OnnxBackend.load(exported(tiny()), "cpu")


def inputs(
    backend: OnnxBackend, groups: list[list[np.ndarray]], buckets: Buckets | None = None
) -> ModelInputs:
    return prepare_inputs(
        picture(HEIGHT, WIDTH),
        groups,
        config=backend.config,
        tokenizer=tiny_tokenizer(),
        prompt="what?",
        caption_tokens=6,
        buckets=buckets,
    )


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("groups", [[MASKS[:5]], [MASKS[:4], MASKS[4:]]])
def test_captions_are_those_of_torch(
    backend: OnnxBackend, checkpoint: Path, cache: CacheMode, groups: list[list[np.ndarray]]
) -> None:
    of = inputs(backend, groups)
    torch_backend = TorchBackend.load(checkpoint, backend.config, "cpu")
    expected = denoise(torch_backend.start(of, cache, STEPS))
    actual = denoise(backend.start(of, cache, STEPS))
    active = of.active
    np.testing.assert_array_equal(actual.token_ids[active], expected.token_ids[active])
    np.testing.assert_allclose(actual.confidence[active], expected.confidence[active], atol=1e-4)


@pytest.mark.parametrize("cache", CACHES)
def test_padding_to_buckets_changes_nothing(backend: OnnxBackend, cache: CacheMode) -> None:
    of = inputs(backend, [MASKS[:3]])
    padded = inputs(backend, [MASKS[:3]], Buckets(tiles=(8,), slots=(2, 6)))
    assert (len(padded.tiles), padded.layout.slots) == (8, 6)
    expected = denoise(backend.start(of, cache, STEPS))
    actual = denoise(backend.start(padded, cache, STEPS))
    np.testing.assert_array_equal(actual.token_ids[:, :3], expected.token_ids)
    np.testing.assert_allclose(actual.confidence[:, :3], expected.confidence, atol=1e-5)


def test_a_state_is_not_changed_by_later_steps(backend: OnnxBackend) -> None:
    session = backend.start(inputs(backend, [MASKS[:3]]), "prefix", STEPS)
    session.step()
    early = session.state()
    kept = early.token_ids.copy(), early.best_confidence.copy()
    for _ in range(STEPS - 1):
        session.step()
    np.testing.assert_array_equal(early.token_ids, kept[0])
    np.testing.assert_array_equal(early.best_confidence, kept[1])
    assert (session.state().token_ids != kept[0]).any()


def test_sessions_do_not_share_anything_that_changes(backend: OnnxBackend) -> None:
    both = [inputs(backend, [MASKS[:2]]), inputs(backend, [MASKS[2:5]])]
    expected = [denoise(backend.start(of, "prefix", STEPS)).token_ids for of in both]
    sessions = [backend.start(of, "prefix", STEPS) for of in both]
    for _ in range(STEPS):
        for session in sessions[::-1]:
            session.step()
    for session, ids in zip(sessions, expected, strict=True):
        np.testing.assert_array_equal(session.state().token_ids, ids)


def test_the_past_is_not_copied(backend: OnnxBackend) -> None:
    session = backend.start(inputs(backend, [MASKS[:3]]), "prefix", STEPS)
    for _ in range(3):
        session.step()
    given = session._first.get_outputs()[-len(session._past_names) :]
    places = [value.data_ptr() for value in given]
    for turn in range(2):
        past = [session._bound[1 + turn][name].data_ptr() for name in session._past_names]
        assert past == places


def test_it_needs_no_torch_and_leaves_the_callers_arithmetic_as_it_is(checkpoint: Path) -> None:
    """Computing without denormal numbers is for ONNX Runtime's threads alone."""
    program = (
        "import sys; sys.modules.update(torch=None, safetensors=None, onnx=None)\n"
        "import numpy as np\n"
        "from perceptiondlm_ros.captioner import Captioner\n"
        f"captioner = Captioner.load({str(exported(checkpoint))!r})\n"
        "print(len(captioner.describe(np.zeros((60, 80, 3), np.uint8), [(1, 1, 30, 30)])))\n"
        "print(float(np.float32(1e-40) * np.float32(0.5)) > 0, 1e-310 * 0.5 > 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["1", "True", "True"], done.stderr


class TestDevices:
    def test_auto_is_a_device_that_is_there(self) -> None:
        has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        assert OnnxDevice.resolve("auto").kind == ("cuda" if has_cuda else "cpu")

    @pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "cuda:", "CPU", None])
    def test_others_are_refused_by_name(self, device: Any) -> None:
        with pytest.raises(BackendError, match="device is "):
            OnnxDevice.resolve(device)

    def test_a_missing_cuda_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        only = ["CPUExecutionProvider"]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: only)
        with pytest.raises(BackendError, match=r"no CUDA provider.*install onnxruntime-gpu"):
            OnnxDevice.resolve("cuda")

    def test_each_graph_has_the_threads_that_are_asked_for(self) -> None:
        graphs = OnnxBackend.load(exported(tiny()), "cpu", threads=3)._graphs
        assert graphs is not None
        for session in (graphs.vision_encoder, graphs.denoiser):
            options = session.get_session_options()
            assert options.intra_op_num_threads == 3
            assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"

    def test_tensorrt_is_never_asked_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is a backend of its own; here it would build engines that nobody keeps."""
        asked: list[str] = []

        def session(path: str, options: Any, providers: list[Any]) -> None:
            asked.extend(p if isinstance(p, str) else p[0] for p in providers)

        there = [f"{name}ExecutionProvider" for name in ("Tensorrt", "CUDA", "CPU")]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        Graphs.open(tmp_path, exported_folder.save_exported(tmp_path), OnnxDevice.resolve("auto"))
        assert asked == ["CUDAExecutionProvider", "CPUExecutionProvider"] * 2


class TestFailures:
    def test_a_closed_backend_says_so(self, checkpoint: Path) -> None:
        loaded = OnnxBackend.load(exported(checkpoint), "cpu")
        of = inputs(loaded, [MASKS[:2]])
        loaded.close()
        loaded.close()
        with pytest.raises(BackendError, match="the backend was closed"):
            loaded.start(of, "exact", STEPS)

    def test_what_the_library_raises_becomes_a_backend_error(self, backend: OnnxBackend) -> None:
        of = inputs(backend, [MASKS[:2]])
        object.__setattr__(of, "roi_matrix", of.roi_matrix[..., :-1])
        with pytest.raises(BackendError, match="cpu failed while running"):
            backend.start(of, "exact", STEPS)

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (MemoryError(), OutOfMemoryError),
            (RuntimeError("std::bad_alloc"), OutOfMemoryError),
            (RuntimeError("Failed to allocate memory for requested buffer"), OutOfMemoryError),
            (RuntimeError("no such operator"), BackendError),
        ],
    )
    def test_too_little_memory_is_an_error_of_its_own(
        self,
        checkpoint: Path,
        error: Exception,
        kind: type[BackendError],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        folder = exported(checkpoint)

        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("onnxruntime.InferenceSession", fail)
        with pytest.raises(BackendError, match="cpu can't load") as told:
            OnnxBackend.load(folder, "cpu")
        assert told.type is kind

    def test_a_state_before_the_first_step_is_refused(self, backend: OnnxBackend) -> None:
        session = backend.start(inputs(backend, [MASKS[:2]]), "exact", STEPS)
        with pytest.raises(BackendError, match="no denoising step was run yet"):
            session.state()

    def test_bf16_is_refused_on_a_cpu_before_anything_is_loaded(self, tmp_path: Path) -> None:
        exported_folder.save_exported(tmp_path, precision="bf16")
        with pytest.raises(BackendError, match=r"exported in bf16.*precision fp32 or int8"):
            OnnxBackend.load(tmp_path, "cpu")

    @pytest.mark.parametrize("precision", ["fp16", "int8"])
    def test_other_precisions_run(self, checkpoint: Path, precision: str) -> None:
        loaded = OnnxBackend.load(exported(checkpoint, precision), "cpu")
        assert precision in loaded.description
        exact, prefix = (
            denoise(loaded.start(inputs(loaded, [MASKS[:3]]), cache_mode, STEPS))
            for cache_mode in CACHES
        )
        assert np.isfinite(exact.confidence).all() and np.isfinite(prefix.confidence).all()
