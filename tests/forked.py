"""`qdet-bench` in a process forked from one that has imported torch and mmdet already, which saves 7 s a process.

The runner and its workers are processes of their own, as a user's are; they only start faster. What a fork cannot
show, the start from nothing, is shown by the tests whose processes are new: see tests/README.md.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO
from unittest.mock import patch

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["preloaded"])


class Command:
    """A command that runs; its standard output and standard error go to files of its own."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        """Start `qdet-bench ARGUMENTS` with the working directory `folder`."""
        self.arguments = list(arguments)
        self._said = [tempfile.NamedTemporaryFile("w+", encoding="utf-8") for _ in range(2)]  # noqa: SIM115
        _start_server()
        names = [file.name for file in self._said]
        self._process = _CONTEXT.Process(target=_command, args=(self.arguments, folder, names, dict(os.environ)))
        self._process.start()

    def wait(self, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` gives. Raises AssertionError where the command takes longer."""
        self._process.join(timeout)
        code = self._process.exitcode
        self._process.kill()
        assert code is not None, f"no end within {timeout} s: {self.arguments}"
        said = []
        for file in self._said:
            file.seek(0)
            said.append(file.read())
            file.close()
        return subprocess.CompletedProcess(self.arguments, code, *said)


def _start_server() -> None:
    """Start the process that is forked, where it does not run yet."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with patch.dict(os.environ, {**one_thread, "PYTHONPATH": path}):
        forkserver.ensure_running()


def _command(arguments: list[str], folder: Path, said: list[str], environment: dict[str, str]) -> None:
    """The command itself, in its forked process."""
    assert "preloaded" in sys.modules, (
        "an import failed, which multiprocessing does not tell: import preloaded yourself"
    )
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for stream, name in zip((1, 2), said, strict=True):
        _redirect(stream, os.open(name, os.O_WRONLY | os.O_APPEND))
    from bench.run import scheduler

    scheduler.subprocess = SimpleNamespace(  # type: ignore[assignment]
        Popen=_Worker, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL
    )
    _run_module("bench", arguments)


class _Worker:
    """What the scheduler uses of `subprocess.Popen`, with a fork of the runner in place of a new process."""

    def __init__(self, command: list[str], *, stderr: TextIO, env: dict[str, str], **_: Any) -> None:
        assert command[1:3] == ["-m", "bench.run.worker"]
        output, end = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.environ.update(env)
            _redirect(0, os.open(os.devnull, os.O_RDONLY))
            _redirect(1, end)
            _redirect(2, os.dup(stderr.fileno()))
            os._exit(_exit_code(command[3:]))
        os.close(end)
        self.stdout = os.fdopen(output, encoding="utf-8")

    def wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def kill(self) -> None:
        os.kill(self.pid, 9)


def _exit_code(arguments: list[str]) -> int:
    code: Any = 1
    try:
        _run_module("bench.run.worker", arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    for stream in filter(None, (sys.__stdout__, sys.__stderr__)):
        stream.flush()
    return code if isinstance(code, int) else 1


def _run_module(name: str, arguments: list[str]) -> None:
    """`python -m NAME ARGUMENTS`."""
    sys.argv = [name, *arguments]
    sys.modules.pop(name if name != "bench" else "bench.__main__", None)
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _redirect(stream: int, to: int) -> None:
    os.dup2(to, stream)
    os.close(to)
