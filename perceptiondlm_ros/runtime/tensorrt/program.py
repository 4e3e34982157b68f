"""One way of running an engine: an optimisation profile with its tensors, launched again and again.

The second launch with the same shapes and addresses is recorded as a CUDA graph, and from then on
a launch costs one call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.blocks import Blocks, DeviceTensor, Shape
from perceptiondlm_ros.runtime.tensorrt.gpu import CaptureError, Gpu, GpuGraph
from perceptiondlm_ros.runtime.tensorrt.products import create_context
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import failure, reasons

_LOG = logging.getLogger(__name__)
_LEAST_SCRATCH = 256


class Program:
    """An engine with one of its optimisation profiles, and the tensors that it runs on.

    Args:
        trt: the module, see `products`.
        log: see `tensorrt_log`.
        profile: the profile's index.
        device, blocks: where to run and to keep outputs.
        place: the block for an output, by the output's name.
        record: whether to use a CUDA graph.
    """

    def __init__(
        self,
        trt: Any,
        log: Any,
        engine: Any,
        profile: int,
        *,
        device: Gpu,
        blocks: Blocks,
        place: Callable[[str], str],
        record: bool,
    ) -> None:
        self._log, self._engine, self._profile = log, engine, profile
        self._device, self._blocks, self._place, self._record = device, blocks, place, record
        self._context = create_context(trt, engine)
        if self._context is None:
            why = reasons(log)
            raise failure(why, f"TensorRT can't make an execution context: {why}")
        self._check(self._context.set_optimization_profile_async(profile, device.stream))
        self._types = _types(trt, engine)
        self._output_names = _names(engine, trt.TensorIOMode.OUTPUT)
        self._inputs: dict[str, DeviceTensor] = {}
        self._outputs: dict[str, DeviceTensor] = {}
        self._scratch: tuple[int, int] = (0, 0)
        self._after: list[tuple[DeviceTensor, DeviceTensor]] = []
        self._launches = 0
        self._graph: GpuGraph | None = None

    def bind(self, inputs: dict[str, DeviceTensor]) -> dict[str, DeviceTensor]:
        """Take these inputs from the next launch on; where nothing changed, a recorded graph stays.

        Returns:
            The outputs.

        Raises:
            BackendError: a shape that the engine wasn't built for, or too little memory.
        """
        if {name: t.shape for name, t in inputs.items()} != _shapes(self._inputs):
            self._set_shapes(inputs)
        outputs = {name: self._output(name) for name in self._output_names}
        size = max(_LEAST_SCRATCH, self._context.update_device_memory_size_for_shapes())
        block = self._blocks.get("scratch", size)
        scratch = (block.address, size)
        if (inputs, outputs, scratch) != (self._inputs, self._outputs, self._scratch):
            self._forget()
            self._outputs = {}  # should this fail, the next one starts anew
            self._context.set_device_memory(*scratch)
            for name, tensor in {**inputs, **outputs}.items():
                self._check(self._context.set_tensor_address(name, tensor.buffer.address))
            self._inputs, self._outputs, self._scratch = dict(inputs), outputs, scratch
        return outputs

    def copy_after(self, pairs: list[tuple[DeviceTensor, DeviceTensor]]) -> None:
        """Copy each second tensor to the first, after every launch."""
        if pairs != self._after:
            self._forget()
            self._after = pairs

    def launch(self) -> None:
        """Put one run on the device's stream; doesn't wait.

        Raises:
            BackendError: TensorRT or the device failed.
        """
        if self._graph is None and self._record and self._launches:
            self._graph = self._recorded()
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()
        self._launches += 1

    def _set_shapes(self, inputs: dict[str, DeviceTensor]) -> None:
        self._forget()
        self._inputs = {}
        for name, tensor in inputs.items():
            if tensor.dtype != self._types.get(name):
                raise BackendError(
                    f"{name} is {tensor.dtype}, and the engine takes {self._types.get(name)}; "
                    "export the checkpoint again"
                )
            self._check_range(name, tensor.shape)
            self._check(self._context.set_input_shape(name, tensor.shape))
        missing = self._context.infer_shapes()
        if missing:
            raise BackendError(
                f"the engine also takes {', '.join(missing)}; export the checkpoint again"
            )

    def _check_range(self, name: str, shape: Shape) -> None:
        least, _, most = (
            tuple(dims) for dims in self._engine.get_tensor_profile_shape(name, self._profile)
        )
        inside = len(shape) == len(least) and all(
            low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
        )
        if not inside:
            raise BackendError(
                f"{name} has shape {shape}, and the engine was built for {least} to {most}; use "
                "fewer regions a frame, a shorter prompt, or caption_tokens up to what the model "
                "was exported with"
            )

    def _output(self, name: str) -> DeviceTensor:
        shape = tuple(self._context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise BackendError(f"TensorRT doesn't know the shape of {name}; export again")
        return self._blocks.tensor(self._place(name), shape, self._types[name])

    def _enqueue(self) -> None:
        self._check(self._context.execute_async_v3(self._device.stream))
        for target, source in self._after:
            self._device.copy(target.buffer, source.buffer, source.size)

    def _recorded(self) -> GpuGraph | None:
        try:
            return self._device.capture(self._enqueue)
        except CaptureError as error:
            _LOG.warning("launching without a CUDA graph, which is slower: %s", error)
            self._record = False
            return None

    def _forget(self) -> None:
        """What was recorded or run before is not what runs next."""
        if self._graph is not None:
            self._device.synchronize()  # it may still run
        self._graph, self._launches = None, 0

    def _check(self, worked: bool) -> None:
        if not worked:
            why = reasons(self._log)
            raise failure(why, f"TensorRT failed: {why}; load the model again")


def _shapes(tensors: dict[str, DeviceTensor]) -> dict[str, Shape]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _all_names(engine: Any) -> list[str]:
    return [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]


def _names(engine: Any, mode: Any) -> list[str]:
    return [name for name in _all_names(engine) if engine.get_tensor_mode(name) == mode]


def _types(trt: Any, engine: Any) -> dict[str, str]:
    return {name: engine.get_tensor_dtype(name).name for name in _all_names(engine)}
