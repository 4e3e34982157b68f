"""Real processes over DDS: each test has a domain of its own, shared with the node it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from patience import PATIENCE
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.parameter import Parameter
from ros_domains import own_domain
from ros_support import Peer, Spinner, ros_context, until_true
from surroundings import of_a_user

SHARED = Path(__file__).parents[3] / "shared" / "golden"
GOLDEN = Path(os.environ.get("PERCEPTIONDLM_GOLDEN", SHARED))

_ASK_AGAIN_S = 10.0

_LEADS_TO = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_CLEANUP: State.PRIMARY_STATE_UNCONFIGURED,
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: State.PRIMARY_STATE_FINALIZED,
}


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Path:
    """A checkpoint of random weights in the published layout: real, small and fast."""
    path = GOLDEN / "tiny-a"
    if not path.is_dir():
        pytest.skip(f"no golden data in {GOLDEN}; set PERCEPTIONDLM_GOLDEN to their folder")
    return path


class NodeProcess:
    """A node in a process of its own, its log read line by line as it comes.

    command: arguments of Python.
    """

    def __init__(self, domain: int, command: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env=of_a_user(ROS_DOMAIN_ID=str(domain), PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def said(self, text: str) -> list[str]:
        return [line for line in list(self.lines) if text in line]

    def wait_for(self, text: str) -> None:
        until_true(lambda: bool(self.said(text)) or not self.alive, text)
        assert self.said(text), self.output

    def end(self, sign: signal.Signals = signal.SIGINT) -> int:
        """Ask the process to end; its exit status."""
        if self.alive:
            self.process.send_signal(sign)
        return self.wait()

    def wait(self) -> int:
        """Wait until the process has ended; its exit status."""
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self._reader.join(PATIENCE)


class Robot(Peer):
    """This process's side: a camera, a detector, a listener and a lifecycle manager."""

    def __init__(
        self, context: Any, domain: int, namespace: str = "", spinner: Spinner | None = None
    ) -> None:
        super().__init__(context, namespace)
        self.domain, self.namespace = domain, namespace
        self.processes: list[NodeProcess] = []
        self.spinner = spinner or Spinner(context)
        self.spinner.executor.add_node(self.peer)
        self.change_state = self._client(ChangeState, "change_state")
        self._get_state = self._client(GetState, "get_state")
        self._set_parameters = self._client(SetParameters, "set_parameters")

    def beside(self, namespace: str) -> Robot:
        """Another camera with all that belongs to it, on the same robot."""
        other = Robot(self.peer.context, self.domain, namespace, self.spinner)
        other.processes = self.processes
        return other

    def _client(self, kind: Any, name: str) -> Client:
        return self.peer.create_client(kind, f"region_captioner/{name}")

    def start(self, **parameters: object) -> NodeProcess:
        """Start the node; a double underscore in a parameter's name stands for a dot."""
        given = {name.replace("__", "."): value for name, value in parameters.items()}
        command = ["-m", "perceptiondlm_ros.ros.region_captioner", "--ros-args"]
        command += [part for name, value in given.items() for part in ("-p", _as_yaml(name, value))]
        command += ["-r", f"__ns:=/{self.namespace}"] if self.namespace else []
        process = NodeProcess(self.domain, command)
        self.processes.append(process)
        return process

    def until(self, happened: Callable[[], bool], what: str, **options: Any) -> None:
        """Spin until `happened`; a failure shows what the node said."""
        try:
            self.spinner.until(happened, what, **options)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._log()}") from None

    def _log(self) -> str:
        lines = (line for process in self.processes for line in process.lines)
        return "\n".join(["--- the node said ---", *lines])

    def until_connected(self) -> None:
        """Wait until the node takes frames and is heard."""

        def connected_or_dead() -> bool:
            return (self.is_taken() and self.hears()) or not all(p.alive for p in self.processes)

        self.until(connected_or_dead, "the node's topics")
        assert all(process.alive for process in self.processes), self._log()

    def call(self, client: Client, request: Any) -> Any:
        """The answer of a service, which is asked again where its answer may have been lost.

        A client can know a service of another process before that knows the client's reader. Fast
        DDS then drops the answer after 0.1 s, which a busy machine exceeds.
        """
        self.until(client.service_is_ready, f"the service {client.srv_name}")
        asked: list[Any] = []
        next_ask = 0.0

        def answered() -> list[Any]:
            return [future for future in asked if future.done()]

        def ask() -> None:
            nonlocal next_ask
            if time.monotonic() >= next_ask:
                asked.append(client.call_async(request))
                next_ask = time.monotonic() + _ASK_AGAIN_S

        self.until(lambda: bool(answered()), f"an answer of {client.srv_name}", again=ask)
        return answered()[0].result()

    def state(self) -> int:
        return int(self.call(self._get_state, GetState.Request()).current_state.id)

    def change(self, transition: int) -> bool:
        """Whether the node made the transition.

        Asked twice it answers the second time that there is no such transition from here, so the
        state counts as well.
        """
        before = self.state()
        request = ChangeState.Request(transition=Transition(id=transition))
        if self.call(self.change_state, request).success:
            return True
        return before != self.state() == _LEADS_TO[transition]

    def set(self, name: str, value: object) -> SetParametersResult:
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        return self.call(self._set_parameters, request).results[0]

    def until_active(self) -> None:
        self.until_connected()
        assert self.state() == State.PRIMARY_STATE_ACTIVE


@pytest.fixture
def domain() -> Iterator[int]:
    with own_domain() as domain:
        yield domain


@pytest.fixture
def start_process(domain: int) -> Iterator[Callable[[list[str]], NodeProcess]]:
    """Starts Python with some arguments; its process does not outlive the test."""
    started: list[NodeProcess] = []

    def start(command: list[str]) -> NodeProcess:
        started.append(NodeProcess(domain, command))
        return started[-1]

    yield start
    for each in started:
        each.end(signal.SIGKILL)


@pytest.fixture
def robot() -> Iterator[Robot]:
    with _robot() as robot:
        yield robot


@pytest.fixture(scope="module")
def running(tiny_checkpoint: Path) -> Iterator[Robot]:
    """A robot whose node captions, with defaults, in all tests of a module."""
    with _robot() as robot:
        node = robot.start(checkpoint=tiny_checkpoint)
        robot.until_active()
        yield robot
        assert node.end() == 0
        failed = [line for line in node.said("failed") if "lost or out of order so far" not in line]
        assert not failed and not node.said("Traceback")


@contextmanager
def _robot() -> Iterator[Robot]:
    with own_domain() as domain, ros_context(domain) as context:
        robot = Robot(context, domain)
        try:
            yield robot
        finally:
            for process in robot.processes:
                process.end(signal.SIGKILL)
            for peer in robot.spinner.executor.get_nodes():
                peer.destroy_node()


def _as_yaml(name: str, value: object) -> str:
    return f"{name}:={str(value).lower() if isinstance(value, bool) else value}"
