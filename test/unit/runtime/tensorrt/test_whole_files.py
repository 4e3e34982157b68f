"""Files that are there as a whole or not at all, and the lock."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from patience import PATIENCE

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt import whole_files
from perceptiondlm_ros.runtime.tensorrt.whole_files import locked, write_whole


def ignore(seconds: float) -> None: ...


def fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


class TestWriting:
    def test_content_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        for content in (b"first", b"second, longer", b""):
            write_whole(path, memoryview(content))
            assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]

    def test_any_memory_is_written_byte_by_byte(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(whole_files, "_SLICE", 3)
        write_whole(tmp_path / "file", memoryview(b"0123456789"))
        assert (tmp_path / "file").read_bytes() == b"0123456789"

    @pytest.mark.parametrize(
        ("number", "advice"), [(errno.ENOSPC, "free space"), (errno.EROFS, "can be written to")]
    )
    def test_a_full_or_read_only_disk_leaves_what_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
    ) -> None:
        path = tmp_path / "file"
        write_whole(path, b"before")
        monkeypatch.setattr(os, "fsync", lambda descriptor: fail(number))
        with pytest.raises(BackendError, match=rf"file can't be written .*{advice}"):
            write_whole(path, b"after")
        assert path.read_bytes() == b"before"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_process_that_dies_while_it_writes_leaves_what_was_there(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        write_whole(path, b"before")
        program = (
            "import os, signal, sys, pathlib\n"
            "from perceptiondlm_ros.runtime.tensorrt.whole_files import write_whole\n"
            "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
            "write_whole(pathlib.Path(sys.argv[1]), b'after')\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, str(path)], check=False, timeout=PATIENCE
        )
        assert run.returncode == -signal.SIGKILL
        assert path.read_bytes() == b"before"


class TestLock:
    def test_one_at_a_time(self, tmp_path: Path) -> None:
        waiting = threading.Event()
        order: list[str] = []

        def second() -> None:
            with locked(tmp_path / "lock", lambda seconds: waiting.set(), poll=0.01):
                order.append("second")

        thread = threading.Thread(target=second)
        with locked(tmp_path / "lock", ignore):
            thread.start()
            assert waiting.wait(PATIENCE)
            order.append("first")
        thread.join(PATIENCE)
        assert order == ["first", "second"]

    def test_it_ends_with_a_process_that_is_killed(self, tmp_path: Path) -> None:
        program = (
            "import pathlib, sys, time\n"
            "from perceptiondlm_ros.runtime.tensorrt.whole_files import locked\n"
            "with locked(pathlib.Path(sys.argv[1]), lambda seconds: None):\n"
            "    print('locked', flush=True)\n"
            "    time.sleep(600)\n"
        )
        command = [sys.executable, "-c", program, str(tmp_path / "lock")]
        waited = threading.Event()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"locked\n"

            def kill(seconds: float) -> None:
                waited.set()
                process.kill()

            with locked(tmp_path / "lock", kill, poll=0.01):
                assert waited.is_set()

    def test_what_waiting_raises_ends_the_wait(self, tmp_path: Path) -> None:
        def give_up(seconds: float) -> None:
            raise TimeoutError

        with (
            locked(tmp_path / "lock", ignore),
            pytest.raises(TimeoutError),
            locked(tmp_path / "lock", give_up),
        ):
            pass
