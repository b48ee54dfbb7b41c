"""The short form of a suite: what it means, which lines its errors name, and its JSON Schema."""

import json
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import PROJECT, fuzz_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from suite_text import RIGHT, SHORT, changed, write_suite

from bench.cli.main import main
from bench.errors import UsageError
from bench.schema.author import json_schema
from bench.schema.expand import MAX_NODES, expand
from bench.schema.load import find, load_suite
from bench.schema.source import Loc, Source, load_mapping
from bench.schema.suite import Suite

SCHEMA = PROJECT / "suites" / "suite.schema.json"
USE = "    methods: [lsq]\n"
COUNTS = "{weights: 1, activations: 2, edge: 1, unsigned: 0}"


def suite_of(tmp_path: Path, *changes: tuple[str, str]) -> Suite:
    write_suite(tmp_path, changed(*changes, text=SHORT))
    return load_suite("x/y", tmp_path).suite


def written_out(tmp_path: Path, *changes: tuple[str, str]) -> Source:
    return expand(load_mapping(write_suite(tmp_path, changed(*changes, text=SHORT))))


def refusal(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(UsageError) as caught:
        suite_of(tmp_path, *changes)
    return str(caught.value).splitlines()


def test_both_forms_are_the_same_suite(tmp_path: Path) -> None:
    short = suite_of(tmp_path)
    write_suite(tmp_path, RIGHT)
    assert load_suite("x/y", tmp_path).suite == short


@pytest.mark.parametrize("name", find(PROJECT))
def test_an_expanded_suite_loads_as_the_same(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = load_suite(name, PROJECT).suite
    assert main(["--root", str(PROJECT), "show", name, "--expanded"]) == 0
    text = capsys.readouterr().out
    path = write_suite(tmp_path, text, name)
    assert Suite.model_validate_json(json.dumps(load_mapping(path).data)) == suite
    assert load_suite(name, tmp_path).suite == suite
    assert main(["--root", str(PROJECT), "show", name, "--expanded", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == load_mapping(path).data


def test_an_expanded_suite_keeps_what_looks_like_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and texts that YAML would take for numbers, words or syntax."""
    suite = suite_of(
        tmp_path,
        ("recipe: qat\n", 'recipe: "12"\n'),
        ("      qat:\n", '      "12":\n'),
        ("label: LSQ\n", 'label: "1e5"\n    note: "yes: [no]"\n'),
        ("A table", '"null"'),
    )
    assert main(["--root", str(tmp_path), "show", "x/y", "--expanded"]) == 0
    write_suite(tmp_path, capsys.readouterr().out)
    assert load_suite("x/y", tmp_path).suite == suite


def test_a_row_has_precedence_over_its_kind_and_that_over_the_defaults(tmp_path: Path) -> None:
    suite = suite_of(
        tmp_path,
        ("row: {detector: retinanet-r18}", "row: {detector: retinanet-r18, note: default, scored: test}"),
        ("    bits: 4/4\n", "    bits: 4/4\n    note: kind\n"),
        (USE, f"{USE}    bits: 8/8\n  - {{id: other, label: O, kind: int4, note: own, methods: [lsq]}}\n"),
    )
    fp, lsq, other = suite.rows
    assert (fp.note, lsq.note, other.note) == ("default", "kind", "own")
    assert (str(fp.bits), str(lsq.bits), str(other.bits)) == ("32/32", "8/8", "4/4")


def test_null_takes_away_what_a_kind_gives(tmp_path: Path) -> None:
    trained = "  - {id: trained, label: T, kind: int4, methods: [lsq]}\n"
    suite = suite_of(tmp_path, (USE, f"{USE}    recipe: null\n{trained}"))
    assert (suite.row("lsq").recipe, suite.row("trained").recipe) == (None, "qat")


def test_pins_of_a_policy_hold_at_every_tier_and_a_row_may_have_others(tmp_path: Path) -> None:
    other = "  smoke:\n" + SHORT[SHORT.index("  mini:\n") + len("  mini:\n") :]
    more = "  - {id: own, label: O, kind: int4, methods: [lsq], pins: %s}\n"
    suite = suite_of(
        tmp_path,
        (USE, USE + more % COUNTS + (more % f"{{mini: {COUNTS}}}").replace("own", "mini-only")),
        ("    seeds: 3\n", f"    seeds: 3\n{other}"),
    )
    weights = {row.id: {tier: pins.weights for tier, pins in row.pins.items()} for row in suite.rows}
    assert weights == {
        "fp": {},
        "lsq": {"mini": 38, "smoke": 38},
        "own": {"mini": 1, "smoke": 1},
        "mini-only": {"mini": 1, "smoke": 38},
    }


def test_names_of_options_and_methods_in_full_stand_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Loss:\n    version = 1\n    def regulariser(self, model, batch): ...\n")
    changes = (
        ("defaults:\n", "  strong: {name: 'mine:Loss', weight: 2.0}\ndefaults:\n"),
        (USE, "    methods: [strong, lsq, {name: hqod, options: {terms: [tcorr], normaliser: code}}]\n"),
    )
    write_suite(tmp_path, changed(*changes, text=SHORT))
    source = expand(load_mapping(tmp_path / "suites" / "x" / "y.yaml"))
    uses = Suite.model_validate_json(json.dumps(source.data)).row("lsq").methods
    assert [use.name for use in uses] == ["mine:Loss", "lsq", "hqod"]
    assert uses[0].options == {"weight": 2.0} and uses[1].options["range_test"] == "paper"


def test_published_true_is_the_rows_own_id(tmp_path: Path) -> None:
    changes = (("policies:", "published: {file: a, table: T-A}\npolicies:"), ("row: {", "row: {published: true, "))
    suite = suite_of(tmp_path, *changes, ("    label: FP\n", "    label: FP\n    published: null\n"))
    assert [row.published for row in suite.rows] == [None, "lsq"]


def test_observers_of_a_kind_are_those_of_its_rows(tmp_path: Path) -> None:
    observers = "    observers: {int4: {weights: {kind: lsq}}, b: {weights: {kind: mse, p: 2.0}}}\n    calibration:"
    rows = "".join(f"  - {{id: {name}, label: L, kind: int4, methods: [lsq]}}\n" for name in "ab")
    suite = suite_of(tmp_path, ("    calibration:", observers), (USE, USE + rows))
    found = {row: o.weights.kind for row, o in suite.tiers["mini"].observers.items() if o.weights}
    assert found == {"lsq": "lsq", "a": "lsq", "b": "mse"}


def test_a_recipe_takes_over_fields_and_null_takes_one_away(tmp_path: Path) -> None:
    row = "  - {id: more, label: M, bits: 32/32, recipe: more}\n"
    recipe = "      more: {from: qat, length: 80, warmup: null}\n    seeds: 3\n"
    recipes = suite_of(tmp_path, ("tiers:\n", f"{row}tiers:\n"), ("    seeds: 3\n", recipe)).tiers["mini"].recipes
    qat, more = recipes["qat"], recipes["more"]
    assert qat is not None and more is not None
    assert more == qat.model_copy(update={"length": 80, "warmup": None})


def test_claims_take_over_their_defaults(tmp_path: Path) -> None:
    first, second = "{id: a, text: T, source: S, rows: [lsq, fp]}", "{id: b, text: T, metric: AP50, rows: [lsq, fp]}"
    claims = f"claims:\n  - {first}\n  - {second}\n"
    suite = suite_of(
        tmp_path,
        ("kinds:\n", "  claim: {kind: difference, metric: AP, source: Table I}\nkinds:\n"),
        ("tiers:\n", f"{claims}tiers:\n"),
    )
    assert [(claim.metric, claim.source) for claim in suite.claims] == [("AP", "S"), ("AP50", "Table I")]


ORIGINS: list[tuple[Loc, Loc]] = [
    (("rows", 0, "detector"), ("defaults", "row", "detector")),
    (("rows", 0, "bits"), ("rows", 0, "bits")),
    (("rows", 1, "bits"), ("kinds", "int4", "bits")),
    (("rows", 1, "label"), ("rows", 1, "label")),
    (("rows", 1, "methods", 0), ("rows", 1, "methods", 0)),
    (("rows", 1, "methods", 0, "name"), ("rows", 1, "methods", 0)),
    (("rows", 1, "methods", 0, "options", "weights", "kind"), ("methods", "lsq", "weights", "kind")),
    (("rows", 1, "pins", "mini", "edge"), ("policies", "all", "pins", "edge")),
    (("rows", 2, "methods", 0, "name"), ("methods", "mine", "name")),
    (("rows", 2, "methods", 0, "options"), ("methods", "mine")),
    (("rows", 2, "pins", "mini", "edge"), ("kinds", "own", "pins", "edge")),
    (("rows", 3, "methods", 0, "name"), ("kinds", "named", "methods", 0)),
    (("claims", 0, "metric"), ("defaults", "claim", "metric")),
    (("tiers", "mini", "recipes", "more", "optimizer", "lr"), ("tiers", "mini", "recipes", "qat", "optimizer", "lr")),
    (("tiers", "mini", "recipes", "more", "length"), ("tiers", "mini", "recipes", "more", "length")),
    (("tiers", "mini", "observers", "lsq", "weights"), ("tiers", "mini", "observers", "int4", "weights")),
]


@pytest.mark.parametrize(("loc", "origin"), ORIGINS)
def test_a_value_knows_where_its_author_wrote_it(loc: Loc, origin: Loc, tmp_path: Path) -> None:
    source = written_out(
        tmp_path,
        ("defaults:\n", "  mine:\n    name: hqod\n    terms: [tcorr]\n    normaliser: code\ndefaults:\n"),
        ("kinds:\n", "  claim:\n    metric: AP\n    kind: difference\nkinds:\n"),
        (
            "rows:\n",
            f"  own:\n    bits: 2/2\n    pins: {COUNTS}\n  named:\n    bits: 4/4\n    methods:\n    - lsq\nrows:\n",
        ),
        (USE, f"{USE}  - {{id: a, label: A, kind: own, methods: [mine]}}\n  - {{id: b, label: B, kind: named}}\n"),
        ("tiers:\n", "claims:\n- id: a\n  text: T\n  rows: [lsq, fp]\n  source: S\ntiers:\n"),
        ("    calibration:", "    observers:\n      int4:\n        weights: {kind: lsq}\n    calibration:"),
        ("    seeds: 3\n", "      more:\n        from: qat\n        length: 80\n    seeds: 3\n"),
    )
    assert source.origin(loc) == origin
    assert source.line(loc) == source.lines[origin]
    value: Any = source.data
    for step in loc:
        value = value[step]
    written: Any = load_mapping(source.path).data
    for step in origin:
        written = written[step]
    if loc[-1] not in ("options", "name", 0):
        assert value == written


def test_ten_rows_tell_once_what_their_kind_has_wrong(tmp_path: Path) -> None:
    rows = USE + "".join(f"  - {{id: r{k}, label: R, kind: int4, methods: [lsq]}}\n" for k in range(10))
    for old, new, line, words in (
        ("bits: 4/4", "bits: 4/4/4", 19, "kinds.int4.bits: bits '4/4/4': expected"),
        ("bits: 4/4", "bits: ter/4", 19, "kinds.int4.bits: bits ter/4: lsq needs an integer"),
        ("policy: all", "policy: al", 22, "kinds.int4.policy: unknown policy 'al'; did you mean 'all'? (row 'lsq')"),
        ("recipe: qat", "recipe: qta", 56, "row 'lsq' wants recipe 'qta', which the tier lacks"),
        ("range_test: paper", "range_test: x", 11, "methods.lsq.range_test: expected 'paper' or 'mqbench'"),
        ("edge: 13", "edge: -1", 8, "policies.all.pins.edge: must be at least 0, found -1 (row 'lsq')"),
    ):  # fmt: skip
        (message,) = refusal(tmp_path, (USE, rows), (old, new))
        assert message.startswith(f"{tmp_path / 'suites/x/y.yaml'}:{line}: {words}"), message


def test_a_suite_cannot_grow_without_bound(tmp_path: Path) -> None:
    """Ten lines a kind, a thousand rows of it: nothing is written out beyond a bound."""
    methods = ", ".join(["lsq"] * 1000)
    rows = "".join(f"  - {{id: r{k}, label: R, kind: int4}}\n" for k in range(1000))
    (message,) = refusal(
        tmp_path, ("    policy: all\n", f"    policy: all\n    methods: [{methods}]\n"), (USE, USE + rows)
    )
    assert f"written out, the suite has more than {MAX_NODES:,} values" in message


def test_the_schema_file_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == SCHEMA.read_text(encoding="utf-8"), "qdet-bench schema > suites/suite.schema.json"


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    Draft202012Validator.check_schema(json_schema())
    return Draft202012Validator(json_schema())


@pytest.mark.parametrize("name", find(PROJECT))
def test_suites_fit_the_schema_and_name_it(name: str, schema: Draft202012Validator) -> None:
    path = PROJECT / "suites" / f"{name}.yaml"
    schema.validate(load_mapping(path).data)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    target = first.removeprefix("# yaml-language-server: $schema=")
    assert target != first and (path.parent / target).resolve() == SCHEMA


def test_the_whole_form_fits_the_schema(tmp_path: Path, schema: Draft202012Validator) -> None:
    schema.validate(load_mapping(write_suite(tmp_path, RIGHT)).data)
    schema.validate(load_mapping(write_suite(tmp_path, SHORT)).data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: A table\n", ""),
        ("    label: LSQ\n", ""),
        ("    kind: int4\n", "    kind: int4\n    bit: 4/4\n"),
        ("    kind: int4\n", "    kind: int4\n    published: false\n"),
        ("    bits: 4/4\n", "    bits: 4\n"),
        ("    bits: 4/4\n", "    bits: 4/4\n    kind: other\n"),
        ("    bits: 4/4\n", "    bits: 4/4\n    label: L\n"),
        ("{detector: retinanet-r18}", "{detector: 18}"),
        ("    range_test: paper\n", "    range_test: after\n"),
        ("    range_test: paper\n", ""),
        ("    range_test: paper\n", "    range_test: paper\n    rang: 1\n"),
        ("    range_test: paper\n", "    range_test: paper\n    name: tqt\n"),
        ("defaults:\n", "  mine: {strength: 1.0}\ndefaults:\n"),
        ("edge: 13", "edge: 1.5"),
        ("edge: 13, ", ""),
        ("  mini:\n", "  tiny:\n"),
        ("        length: 40\n", ""),
        ("        length: 40\n", "        length: 0\n"),
        ("    methods: [lsq]\n", "    methods: lsq\n"),
        ("kind: shapes-voc", "kind: imagenet"),
    ],
)
def test_wrong_suites_do_not_fit_the_schema(old: str, new: str, tmp_path: Path, schema: Draft202012Validator) -> None:
    data = load_mapping(write_suite(tmp_path, changed((old, new), text=SHORT))).data
    assert not schema.is_valid(data)


def test_a_recipe_that_takes_over_another_needs_nothing_else(tmp_path: Path, schema: Draft202012Validator) -> None:
    text = changed(("    seeds: 3\n", "      more: {from: qat}\n    seeds: 3\n"), text=SHORT)
    schema.validate(load_mapping(write_suite(tmp_path, text)).data)


VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, "", [], {}, ["lsq"], {"from": "qat"}, {"name": "lsq"}),
    *("fp", "lsq", "int4", "qat", "mini"),
)
KEYS = (
    "id",
    "kind",
    "from",
    "name",
    "pins",
    "methods",
    "mini",
    "lsq",
    "int4",
    "row",
    "published",
    "observers",
    "other",
)


def _containers(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, dict | list) else []) + [c for entry in inner for c in _containers(entry)]


@settings(max_examples=fuzz_examples(150), deadline=None)
@given(random=st.randoms(use_true_random=False))
def test_fuzz_any_suite_is_read_or_refused(random: Random, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Values of a right suite are replaced, added or taken away: no fault of an author makes the reader fall over."""
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    data = load_mapping(write_suite(folder, SHORT)).data
    for _ in range(random.randint(1, 3)):
        holder = random.choice([c for c in _containers(data) if c] or [data])
        value = deepcopy(random.choice(VALUES))
        if isinstance(holder, list):
            holder[random.randrange(len(holder))] = value
        elif random.random() < 0.3:
            holder[random.choice(KEYS)] = value
        elif random.random() < 0.3:
            del holder[random.choice(list(holder))]
        else:
            holder[random.choice(list(holder))] = value
    path = write_suite(folder, json.dumps(data))
    try:
        suite = load_suite("x/y", folder).suite
    except UsageError as error:
        assert all(line.startswith((f"{path}:1: ", "… and ")) for line in str(error).splitlines()), error
    else:
        assert Suite.model_validate_json(json.dumps(expand(load_mapping(path)).data)) == suite
