"""Imports beside other processes."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import PROJECT


def test_processes_that_first_import_yapf_at_once_all_can(tmp_path: Path) -> None:
    code = "from bench.imports import import_yapf; import_yapf()"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    started = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0, 0, 0, 0]
    assert len([*tmp_path.rglob("*.pickle")]) == 2
