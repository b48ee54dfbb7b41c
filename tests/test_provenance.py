"""What a record says of the code that ran."""

import subprocess
from pathlib import Path

from bench.records.provenance import commit


def test_a_lock_of_dvc_is_no_change_of_the_code(tmp_path: Path) -> None:
    suites = tmp_path / "suites" / "paper"
    suites.mkdir(parents=True)
    (suites / "one.yaml").write_text("title: one\n", encoding="utf-8")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    head, changed = commit(tmp_path)
    assert head is not None and len(head) == 40 and changed is False
    (suites / "dvc.lock").write_text("schema: '2.0'\n", encoding="utf-8")
    assert commit(tmp_path) == (head, False)
    (suites / "one.yaml").write_text("title: two\n", encoding="utf-8")
    assert commit(tmp_path) == (head, True)


def test_outside_a_checkout_nothing_is_said(tmp_path: Path) -> None:
    assert commit(tmp_path) == (None, None)
