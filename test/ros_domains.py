"""Domains of DDS, each for one test alone, whatever else is tested on this machine."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_DOMAINS = 102
"""With more than these, the ports of DDS would fall among those that systems hand out."""


@contextmanager
def own_domain() -> Iterator[int]:
    """A domain that no other test gets before the end of this, in whichever process it runs.

    An abstract socket's name is the claim: it is known where the ports are, in this machine's
    network, and the system gives it up for a process that dies.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        for number in random.sample(range(_DOMAINS), _DOMAINS):
            if _is_free(claim, number):
                break
        else:
            raise RuntimeError(f"all {_DOMAINS} domains are taken by other tests")
        yield number


def _is_free(claim: socket.socket, number: int) -> bool:
    try:
        claim.bind(f"\0perceptiondlm_ros test domain {number}")
    except OSError:
        return False
    return True
