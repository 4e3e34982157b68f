"""Memory, streams and graphs through a stand-in of cuda-python, and how a device is found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensorrt_stand_in.cuda_runtime import CudaRuntime
from tensorrt_stand_in.gpu import FakeGpu

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.runtime.tensorrt import open_gpu as opening
from perceptiondlm_ros.runtime.tensorrt.cuda_gpu import CudaGpu
from perceptiondlm_ros.runtime.tensorrt.gpu import CaptureError, cuda_version
from perceptiondlm_ros.runtime.tensorrt.open_gpu import open_gpu


@pytest.fixture
def cuda() -> CudaRuntime:
    return CudaRuntime(FakeGpu())


@pytest.fixture
def device(cuda: CudaRuntime) -> CudaGpu:
    return CudaGpu(cuda, 0)


def real_runtime() -> Any:
    """The real module, where it is installed and can do no harm."""
    bindings = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not here")
    if bindings.cudaGetDeviceCount()[1]:
        pytest.skip("there is a GPU, and these calls point nowhere")
    return bindings


def test_an_array_comes_back_after_waiting(device: CudaGpu) -> None:
    sent = np.arange(12, dtype=np.int64).reshape(3, 4)
    first, second = device.allocate(96), device.allocate(128)
    device.upload(first, sent)
    device.copy(second, first, 96)
    got = np.zeros_like(sent)
    device.download(second, got)
    sent += 1  # the upload has its own copy by now
    assert not got.any(), "nothing is there before somebody waits"
    device.synchronize()
    np.testing.assert_array_equal(got, sent - 1)


def test_memory_holds_zeros_at_first(device: CudaGpu) -> None:
    got = np.ones(10, dtype=np.float32)
    device.download(device.allocate(40), got)
    device.synchronize()
    assert not got.any()


def test_a_graph_does_again_what_was_recorded(cuda: CudaRuntime, device: CudaGpu) -> None:
    source, target = device.allocate(8), device.allocate(8)
    graph = device.capture(lambda: device.copy(target, source, 8))
    for number in (3, 4):
        device.upload(source, np.array([number]))
        graph.launch()
        got = np.zeros(1, dtype=np.int64)
        device.download(target, got)
        device.synchronize()
        assert got[0] == number
    del graph
    assert cuda.graphs == 0, "graphs are freed"


def test_what_can_not_be_recorded_leaves_the_stream_as_it_was(device: CudaGpu) -> None:
    def launch() -> None:
        raise BackendError("not this")

    with pytest.raises(CaptureError, match="not this"):
        device.capture(launch)
    device.synchronize()
    assert device.capture(lambda: None) is not None


def test_the_gpu_is_described(device: CudaGpu) -> None:
    device.allocate(1000)
    info = device.info()
    assert (info.name, info.compute, info.shared) == ("Stand-in GPU", (8, 9), False)
    assert (info.memory, info.free) == (2**33, 2**33 - 1000)
    assert info.cuda
    assert cuda_version(12060) == "12.6"


def test_memory_that_is_used_up_is_said_with_the_size(cuda: CudaRuntime, device: CudaGpu) -> None:
    with pytest.raises(OutOfMemoryError, match=r"ran out of memory \(16384 MiB more"):
        device.allocate(2**34)


@pytest.mark.parametrize(("error", "says"), [(35, "no driver, or one too old"), (100, "no GPU")])
def test_without_a_driver_or_gpu_the_message_says_what_to_look_at(error: int, says: str) -> None:
    with pytest.raises(BackendError, match=rf"CUDA finds {says} .*nvidia-smi"):
        CudaGpu(CudaRuntime(FakeGpu(), error), 0)


def test_a_failing_call_is_named(cuda: CudaRuntime, device: CudaGpu) -> None:
    cuda.error = 901
    with pytest.raises(BackendError, match=r"cudaStreamSynchronize .*CaptureInvalidated"):
        device.synchronize()


def test_a_gpu_that_is_not_there_is_named(cuda: CudaRuntime) -> None:
    with pytest.raises(BackendError, match="'cuda:3', but the driver knows 1 GPUs"):
        CudaGpu(cuda, 3)


def test_the_real_functions_take_these_arguments() -> None:
    cuda = CudaRuntime(FakeGpu(), real=real_runtime())
    device = CudaGpu(cuda, 0)
    buffer = device.allocate(8)
    device.upload(buffer, np.zeros(1))
    device.download(buffer, np.zeros(1))
    device.copy(buffer, buffer, 8)
    device.capture(lambda: None).launch()
    device.synchronize()
    device.info()
    device.free(buffer)
    device.close()


class TestOpening:
    @pytest.mark.parametrize("name", ["cpu", "gpu", "cuda:", "cuda:x", ""])
    def test_other_names_are_refused(self, name: str) -> None:
        with pytest.raises(BackendError, match="expected 'auto', 'cuda' or 'cuda:N'"):
            open_gpu(name)

    @pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
    def test_cuda_python_comes_first(
        self, cuda: CudaRuntime, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(opening, "import_cuda_runtime", lambda: cuda)
        assert isinstance(open_gpu(name), CudaGpu)

    @pytest.mark.parametrize("torch_is_here", [True, False])
    def test_without_cuda_python_or_a_gpu_for_torch_the_message_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, torch_is_here: bool
    ) -> None:
        def missing() -> Any:
            raise ImportError("No module named 'cuda'")

        monkeypatch.setattr(opening, "import_cuda_runtime", missing)
        if not torch_is_here:
            monkeypatch.delitem(
                sys.modules, "perceptiondlm_ros.runtime.tensorrt.torch_gpu", raising=False
            )
            monkeypatch.setitem(sys.modules, "torch", None)
        elif _torch_sees_a_gpu():
            pytest.skip("there is a GPU")
        with pytest.raises(BackendError, match=r"needs cuda-python .*pip install cuda-bindings"):
            open_gpu("auto")


def _torch_sees_a_gpu() -> bool:
    torch = pytest.importorskip("torch")
    available: Callable[[], bool] = torch.cuda.is_available
    return available()
