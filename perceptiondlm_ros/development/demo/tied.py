"""Runs a module as `python -m` does, in a process that does not outlive the one that started it.

Standard input is a pipe of which only the parent holds the other end. It is closed by the system
however the parent ends, even killed, and that ends this process at once.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGKILL)  # nobody is left to be told anything


def main() -> None:
    """Arguments: the module's name, then its own arguments."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
