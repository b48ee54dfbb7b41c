"""What a user reads whose own method goes wrong: which class and hook it was, and which option is missing."""

import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import bench
from factories import NAME, located, suite_data
from torch import nn

from bench.errors import BenchError, UsageError
from bench.methods.protocol import Method
from bench.methods.stack import MethodStack
from bench.schema.methods import HOOKS, facts
from bench.schema.protocol import VersionedMethod

METHODS = """
class Base:
    def __init__(self, options):
        self.options = options


class AtOnce(Base):
    version = 1

    def __init__(self, options):
        self.alpha = options["alpha"]


class Popped(Base):
    version = 1

    def __init__(self, options):
        self.alpha = options.pop("alpha")


class Later(Base):
    version = 1

    def adapt_model(self, model):
        self.options["alpha"]


class Careful(Base):
    version = 1

    def adapt_model(self, model):
        try:
            self.options["alpha"]
        except KeyError:
            assert self.options.get("alpha") is self.options.pop("alpha", None) is None
            assert self.options == {"beta": 1}


class Other(Base):
    version = 1

    def adapt_model(self, model):
        {}["alpha"]


class Shapes(Base):
    version = 1

    def regulariser(self, model, batch):
        return batch["inputs"].reshape(7, 7)
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a row's methods, one class with the option `beta`."""
    (tmp_path / "failing.py").write_text(METHODS)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("failing", None)
    return lambda name: MethodStack.of([VersionedMethod(name=f"failing:{name}", version=1, options={"beta": 1})])


@pytest.mark.parametrize(("name", "hook"), [("AtOnce", "__init__"), ("Popped", "__init__"), ("Later", "adapt_model")])
def test_a_missing_option_is_named_with_its_reader_and_its_place(name: str, hook: str, made: Any) -> None:
    with pytest.raises(BenchError) as error:
        made(name).adapt_model(nn.Identity())
    assert str(error.value) == (
        f"failing:{name}: its `{hook}` reads option 'alpha', which is missing (given: beta); "
        "write `alpha: …` into the method's options"
    )


def test_to_a_class_that_looks_first_its_options_are_a_dict(made: Any) -> None:
    made("Careful").adapt_model(nn.Identity())


def test_another_exception_stays_what_it_is_and_says_where_it_was(made: Any) -> None:
    with pytest.raises(KeyError) as error:
        made("Other").adapt_model(nn.Identity())
    assert error.value.args == ("alpha",)
    assert error.value.__notes__ == ["in `adapt_model` of failing:Other"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("regularizer", "regulariser"), ("make_quantizer", "make_quantizers"), ("after_train", "after_training")],
)
def test_a_misspelt_hook_is_refused_since_nothing_would_call_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    text = "class Mine:\n    version = 1\n" + "".join(f"    def {n}(self): ...\n" for n in ("{0}", "_{0}", "weights"))
    (tmp_path / f"misspelt_{written}.py").write_text(text.format(written))
    (tmp_path / f"right_{written}.py").write_text(text.format(meant))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=f"'{written}' is no hook, .* did you mean '{meant}'"):
        facts(f"misspelt_{written}:Mine")
    assert facts(f"right_{written}:Mine").version == 1


def test_the_hooks_that_planning_knows_are_those_of_the_protocol() -> None:
    assert set(HOOKS) == {name for name in vars(Method) if not name.startswith("_")}


@pytest.mark.usefixtures("made")
def test_the_run_tells_it_in_the_line_of_the_job(tmp_path: Path) -> None:
    data = suite_data()
    data["tiers"]["mini"]["detectors"]["retinanet-r18"] |= {"width": 8, "neck_width": 8, "head_convs": 1}
    fp = {"label": "FP", "detector": "retinanet-r18", "bits": "32/32", "recipe": "short"}
    names = ("AtOnce", "Other", "Shapes")
    data["rows"] = [fp | {"id": n.lower(), "methods": [{"name": f"failing:{n}"}]} for n in names]
    del data["policies"], data["published"], data["tiers"]["mini"]["calibration"]
    located(tmp_path, data)
    said = bench(tmp_path, "run", NAME, "--jobs", "1", expect=1).stdout
    at_once, other, shapes = (line for line in said.splitlines() if ": failed: " in line)
    assert (
        "toy/table1 atonce mini seed 0: failed: failing:AtOnce: its `__init__` reads option 'alpha', which is missing "
        "(given: none); write `alpha: …` into the method's options (1 of 3 jobs)"
    ) in at_once
    assert ": failed: KeyError: 'alpha' (in `adapt_model` of failing:Other) (2 of 3" in other
    # Training says at which step it stopped, and hands on where.
    assert ": failed: RuntimeError: step 1, " in shapes and " (in `regulariser` of failing:Shapes) (3 of 3" in shapes
