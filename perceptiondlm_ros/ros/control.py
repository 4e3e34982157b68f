"""The service `~/enable`, and the parameter behind it: whether an active node takes frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from perceptiondlm_ros.ros import parameters

if TYPE_CHECKING:
    from rclpy.node import Node

_NAME = "enabled"


class Switch:
    """Calls `apply` soon after the parameter `enabled` was changed, by the service or otherwise.

    active: whether the node is active; the service is refused while it isn't.
    """

    def __init__(self, node: Node, active: Callable[[], bool], apply: Callable[[], None]) -> None:
        self._node = node
        self._active = active
        self._apply = apply
        # A parameter's callback comes before it is set, so applying it has to wait a moment.
        self._changed = node.create_guard_condition(apply)
        self._service = node.create_service(SetBool, "~/enable", self._on_request)

    @property
    def on(self) -> bool:
        return parameters.read(self._node, _NAME, bool)

    def noticed(self, changes: list[Parameter[Any]]) -> None:
        """Of parameters that are about to be set."""
        if any(change.name == _NAME for change in changes):
            self._changed.trigger()

    def _on_request(self, request: Any, response: Any) -> Any:
        if not self._active():
            response.message = "the node is not active, expected an active one; activate it first"
            return response
        (result,) = self._node.set_parameters([Parameter(_NAME, value=bool(request.data))])
        response.success, response.message = result.successful, result.reason
        self._apply()
        return response
