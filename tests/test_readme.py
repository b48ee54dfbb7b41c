"""What the README says is run as it stands there."""

import re
import shlex
from pathlib import Path

from conftest import PROJECT, bench, make_root

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def tutorial(name: str) -> str:
    found = re.search(rf"<!-- tutorial: {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found, name
    return found.group(1)


def test_the_tutorial_adds_a_method_without_touching_bench(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    for name in ("my_methods.py", "suites/mine/shrink.yaml"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(tutorial(name), encoding="utf-8")
    outputs = []
    for command in tutorial("commands").splitlines():
        program, *arguments = shlex.split(command)
        assert program == "qdet-bench"
        outputs.append(bench(root, *arguments).stdout)
    assert "2 jobs: 2 executed" in outputs[0]
    assert "FP, shrunk" in outputs[1] and "ok" in outputs[1]
    # The method is what made the difference: a raised version makes its job, and only it, new.
    source = root / "my_methods.py"
    source.write_text(source.read_text().replace("version = 1", "version = 2"), encoding="utf-8")
    assert "2 jobs: 1 done, 1 executed" in bench(root, "run", "mine/shrink", "--tier", "smoke").stdout


def test_ci_runs_the_readme_test_command() -> None:
    commands = re.findall(r"```sh\n(python3 -m venv .*?)\n```", README)
    assert len(commands) == 2
    assert commands[1] in (PROJECT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
