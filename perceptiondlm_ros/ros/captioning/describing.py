"""The service `~/describe`: captions for an image that is sent along, beside the stream.

A request waits in the queue of the thread that has the model, never in a callback. Frames and
requests take turns there, and a request with many regions takes several turns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from vision_msgs.msg import Detection2D

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.bit_depth import low_bits_told
from perceptiondlm_ros.messages.images import decode_image
from perceptiondlm_ros.messages.region_selection import (
    TINY_BOXES,
    Selection,
    select_masks,
    select_regions,
)
from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros.captioning.prepared_frame import description
from perceptiondlm_ros.ros.health.faults import refused_request
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.outputs.outputs import latency
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.srv import DescribeRegions

if TYPE_CHECKING:
    from rclpy.node import Node

    from perceptiondlm_ros.captioner import Caption, Captioner
    from perceptiondlm_ros.ros.captioning.captioning import Captioning


class DescribeService:
    """Takes requests while the node is active, whether its stream is enabled or not."""

    def __init__(self, node: Node, monitor: Monitor, settings: Callable[[], Settings]) -> None:
        """Offer the service; it refuses until `open`. settings: gives the present ones."""
        self._node = node
        self._monitor = monitor
        self._settings = settings
        self._captioning: Captioning | None = None
        # Reentrant, as a callback that awaits would hold back everything else of its group.
        self._service = node.create_service(
            DescribeRegions,
            "~/describe",
            self._on_request,
            callback_group=ReentrantCallbackGroup(),
        )

    def open(self, captioning: Captioning) -> None:
        self._captioning = captioning

    def close(self) -> None:
        """Refuse what waits, and all that comes until the next `open`."""
        captioning, self._captioning = self._captioning, None
        if captioning:
            captioning.refuse_requests("the node was deactivated; activate it and ask again")

    async def _on_request(self, request: Any, response: Any) -> Any:
        answer: Future[Any] = Future()
        asked = DescribeRequest(
            request,
            self._settings(),
            self._monitor,
            now_ns=lambda: int(self._node.get_clock().now().nanoseconds),
            finish=partial(self._finish, answer),
        )
        if self._captioning is None:
            asked.refuse(
                "the node is not active, expected an active one; configure and activate it"
            )
        elif not self._captioning.queue.ask(asked):
            asked.refuse("too many requests wait already; ask again when one was answered")
        return await answer

    def _finish(self, answer: Future[Any], response: Any) -> None:
        """Called in a worker's thread mostly; the executor sleeps and has to be told."""
        answer.set_result(response)
        executor = self._node.executor
        if executor is not None:
            executor.wake()


@dataclass
class DescribeRequest:
    """One request, and how to answer it. now_ns: the node's clock. finish: takes the response."""

    request: Any
    settings: Settings
    monitor: Monitor
    now_ns: Callable[[], int]
    finish: Callable[[Any], None]
    _turns: Generator[None, None, tuple[RegionDescriptionArray, str]] | None = None

    def serve(self, captioner: Captioner) -> bool:
        """Caption some of the regions; True when the request is answered."""
        if self._turns is None:
            self._turns = self._caption(captioner)
        try:
            next(self._turns)
        except StopIteration as whole:
            descriptions, doubt = whole.value
            self.monitor.count(requests_served=1)
            self._answer(True, doubt, descriptions)
        except InputError as error:
            self.refuse(str(error))
        except Exception as error:  # noqa: BLE001  (a backend may raise anything)
            self.refuse(f"captioning failed: {type(error).__name__}: {error}")
        else:
            return False
        return True

    def refuse(self, reason: str) -> None:
        """Answer without captions."""
        self.monitor.report(refused_request(reason))
        dropped = len(self.request.detections.detections)
        nothing = RegionDescriptionArray(header=self.request.image.header, dropped=dropped)
        self._answer(False, reason, nothing)

    def _answer(self, success: bool, message: str, descriptions: RegionDescriptionArray) -> None:
        self.finish(
            DescribeRegions.Response(success=success, message=message, descriptions=descriptions)
        )

    def _caption(
        self, captioner: Captioner
    ) -> Generator[None, None, tuple[RegionDescriptionArray, str]]:
        """Caption all regions, with a break after each pass but the last.

        Returns:
            The descriptions, and what is wrong with an image that is captioned all the same.
        """
        header, settings = self.request.image.header, self.settings
        decoded = decode_image(self.request.image, settings.image.significant_bits)
        found = self._select(*decoded.pixels.shape[:2])
        captions: list[Caption] = []
        for first in range(0, len(found.kept), settings.reuse.budget):
            if first:
                yield
            some = found.kept[first : first + settings.reuse.budget]
            shapes = [region.shape for region in some]
            with self.monitor.status.passing():
                captions += captioner.describe(decoded.pixels, shapes, settings.prompt or None)
        descriptions = RegionDescriptionArray(
            header=header,
            regions=[
                description(region, caption, header)
                for region, caption in zip(found.kept, captions, strict=True)
            ],
            dropped=found.dropped.total() + found.unwanted.total(),
            model=captioner.name,
            latency=latency(header.stamp, self.now_ns()),
        )
        doubt = ""
        if decoded.low_bits:
            doubt = f"image: {low_bits_told(decoded.low_bits, 'image.significant_bits:=')}"
        return descriptions, doubt

    def _select(self, height: int, width: int) -> Selection:
        """Raises InputError for masks that can't be used, and where all boxes are tiny."""
        settings, detections = self.settings.region_settings, self.request.detections.detections
        masks = self.request.masks if self.request.masks.width * self.request.masks.height else None
        if masks is not None and not detections:
            found = select_masks(masks, width, height, settings, Detection2D())
        else:
            found = select_regions(detections, width, height, settings, masks)
        if found.masks_problem:
            raise InputError(found.masks_problem)
        if found.dropped[TINY_BOXES] and not found.kept:
            raise InputError(f"detections: {found.dropped[TINY_BOXES]} {TINY_BOXES}")
        return found
