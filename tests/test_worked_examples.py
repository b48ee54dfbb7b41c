"""The worked examples of the statistics, each run as it stands there."""

import doctest
import re

from conftest import PROJECT

PAGE = PROJECT / "docs" / "statistics.md"


def test_worked_examples() -> None:
    blocks = re.findall(r"^```pycon\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 9
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    said: list[str] = []
    found = doctest.DocTestRunner(verbose=False).run(examples, out=said.append)
    assert found.attempted >= 30 and not found.failed, "".join(said)
