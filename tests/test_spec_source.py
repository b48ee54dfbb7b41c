"""The strict YAML loader, and the plain words for what does not fit a model."""

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from conftest import fuzz_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, field_validator

from bench.errors import UsageError
from bench.schema.base import Spec
from bench.schema.data import DataSpec
from bench.schema.messages import describe, validate
from bench.schema.source import MAX_BYTES, MAX_NODES, Source, load_mapping
from bench.schema.suite import Suite

KIB = 1024


def read(folder: Path, content: str | bytes) -> Source:
    path = folder / "x.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_mapping(path)


def refusal(folder: Path, content: str | bytes) -> str:
    """The one line of the refusal, without the path."""
    start = time.process_time()
    with pytest.raises(UsageError) as caught:
        read(folder, content)
    assert time.process_time() - start < 1
    message, prefix = str(caught.value), f"{folder / 'x.yaml'}:"
    assert message.startswith(prefix)
    assert len(message.splitlines()) == 1 and len(message) < len(prefix) + 200
    return message.removeprefix(prefix)


def fill(unit: str, size: int = MAX_BYTES - KIB) -> str:
    return (unit * (size // len(unit) + 1))[:size]


WRONG: list[tuple[str | bytes, int, str]] = [
    # Nothing there, or not a text.
    ("", 1, "is empty"),
    ("# a\n\n# b\n", 1, "only comments"),
    ("---\n", 1, "nothing (null)"),
    (b"a: 1\nb: \xff\n", 2, "UTF-8"),
    (b"\xef\xbb\xbfa: 1\nb: \xff\n", 2, "UTF-8 (byte 0xff)"),
    ("a: ä\n".encode("utf-16"), 1, "UTF-8"),
    ("a: 1\nb: x\0y\n", 2, "U+0000"),
    ("a: 1\n\nb: \x1b[0m\n", 3, "U+001B"),
    ("a: 1\nb: 2\rc: 3\n", 2, "U+000D"),
    ("a: x\u2028y\n", 1, "U+2028"),
    ("\ufeffa: 1\n\ufeffb: 2\n", 2, "U+FEFF"),
    ('a: 1\nb: "\\0"\n', 2, "U+0000"),
    ('a: 1\nb: "\\ud800"\n', 2, "U+D800"),
    # Syntax.
    ("a:\n\tb: 1\n", 2, "tab"),
    ("a:\n  b: 1\n  \tc: 2\n", 3, "tab"),
    ("a:\tb\n", 1, "tab"),
    ("a: 1\nb: [1, 2\nc: 3\n", 3, "brackets opened on line 2"),
    ("a: 1\nb: [1,\n# x\n", 2, "never closed"),
    ("a: 1\nb: {c: 1\n", 2, "bracket { is never closed"),
    ("a: 1\nb: 'x\nc: 2\nd: 3\n", 2, "never closed"),
    ('a: 1\nb: "x\n', 2, "never closed"),
    ("a: 1\nfoo\nb: 1\n", 2, "without its colon"),
    ("a: 1\n b: 2\n", 2, "indentation"),
    ("a: 1\nb: c: d\n", 2, "colon"),
    ("a:\n  - 1\n b: 2\n", 3, "does not fit"),
    ("a: 1\n- b\n", 2, "does not fit"),
    ("a: 1\n]\n", 2, "does not fit"),
    ("a: 'don't'\n", 1, "quotes"),
    ("a: @x\n", 1, "'@'"),
    ('a: 1\nb: "\\q"\n', 2, "escape"),
    ('a: 1\nb: "\\UFFFFFFFF"\n', 2, "escape"),
    ('a: "\\U00110000"', 1, "escape"),
    ("a: |x\n  y\n", 1, "not valid YAML"),
    # Duplicate keys and keys of other kinds.
    ("a: 1\nb: 2\n\na: 3\n", 4, 'duplicate key "a"; it stands on line 1 already'),
    ("a:\n  b: 1\n  'b': 2\n", 3, "line 2"),
    ("a: {b: 1, b: 2}\n", 1, "duplicate"),
    ("a: 1\n1: 2\n", 2, "the integer 1"),
    ("true: 2\n", 1, "found true"),
    ("null: 2\n", 1, "found nothing"),
    ("a: 1\n: 2\n", 2, "found nothing"),
    ("a:\n  ? [b]\n  : 1\n", 2, "found a list"),
    ("{a: 1}: 1\n", 1, "found a mapping"),
    # What YAML has and a suite has not.
    ("a: 1\nb: !!python/object:os.system x\n", 2, "!!python/object:os.system"),
    ("a: !foo 1\n", 1, '"!foo"'),
    ("a: !!str 1\n", 1, '"!!str"'),
    ("a: ! x\n", 1, "tags"),
    ("!!map {a: 1}\n", 1, "tags"),
    ("a: 1\nb: &x 1\n", 2, "anchors (&x)"),
    ("a: 1\nb: *x\n", 2, "aliases (*x)"),
    ("&x a: 1\n", 1, "anchors"),
    ("a:\n  <<: {b: 1}\n", 2, "merge keys"),
    ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", 1, "anchors"),
    ("a: 1\n---\nb: 2\n", 2, "second document"),
    ("a: 1\n...\nb: 2\n", 3, "second document"),
    ("a: 1\n...\n%YAML " + "1" * 5000 + "\n---\n", 3, "out of range"),
    ("# x\n%YAML 1.1\n---\na: 1\n", 2, "directives"),
    ("%TAG ! x\n---\na: 1\n", 1, "directives"),
    # The wrong top level.
    ("# x\n- a\n", 2, "found a list"),
    ("text\n", 1, 'the string "text"'),
    ("a:b\n", 1, "top level"),
    # Numbers.
    ("a: 1\nb: .nan\n", 2, "not a finite"),
    ("a: -.inf\n", 1, "not a finite"),
    ("a: 1e999\n", 1, "too large"),
    ("a: 9223372036854775808\n", 1, "64 bits"),
    (f"a: 0x{'f' * 50}\n", 1, "64 bits"),
    (f"a: {'9' * 100_000}\n", 1, "a number of 100000 characters"),
    (f"b: 1\n{'a' * 2000}: 1\n", 2, "not valid YAML"),
    # Too much.
    ("a:\n" + "".join(f"{' ' * i}b:\n" for i in range(1, 40)), 21, "nested deeper than 20"),
    ("a: 1\nb: " + "[" * 30, 2, "nested deeper"),
    ("a:\n" + "- 1\n" * (MAX_NODES + 1), MAX_NODES - 1, "more than 20,000"),
]


@pytest.mark.parametrize(("content", "line", "words"), WRONG)
def test_wrong_text_is_refused_with_its_line(tmp_path: Path, content: str | bytes, line: int, words: str) -> None:
    message = refusal(tmp_path, content)
    assert message.startswith(f"{line}: ")
    assert words in message


TRAPS = ["[", "{", "? ", "- ", ": ", "!", "&", "*", "%", "\n", "#", " #", "a: ", "[\n", "?\n", "%a\n"]
TRAPS += ["---\n", "...\n", "!!str ", "&a ", '"a" ', "'", '"', "|", ">", "@", "\\", "a\n", "k: [\n"]


@pytest.mark.parametrize("unit", TRAPS)
@pytest.mark.parametrize("start", ["", "a: ["])
def test_trap_is_refused_in_time(tmp_path: Path, unit: str, start: str) -> None:
    refusal(tmp_path, start + fill(unit))


BULK = [
    "a: " + fill("ab "),
    "a:\n " + fill("b\n ") + "b",
    "a: '" + fill("b\n ") + "'",
    'a: "' + fill("\\n") + '"',
    "a: |\n" + fill(" b\n"),
    "a: >\n" + fill(" b\n\n"),
    "a: b\n" + fill("\n"),
    "a: b " + fill("#"),
    "".join(f"k{i}: [1, 2.5, x]\n" for i in range(3900)),
]


@pytest.mark.parametrize("text", BULK)
def test_large_text_is_read_in_time(tmp_path: Path, text: str) -> None:
    start = time.process_time()
    assert read(tmp_path, text).data
    assert time.process_time() - start < 1


def test_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").mkdir()
    (tmp_path / "large.yaml").write_text("a: " + "x" * MAX_BYTES)
    for name, words in {
        "none.yaml": "no such file",
        "d.yaml": "is not a file",
        "large.yaml": "larger than 128 KiB",
        "a\nb.yaml": "no such file",
        "a\0b.yaml": "no such file",
        "x" * 5000: "cannot be read",
        "large.yaml/x": "no such file",
    }.items():
        with pytest.raises(UsageError, match=words) as caught:
            load_mapping(tmp_path / name)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(UsageError, match=r"^suites/none\.yaml: no such file"):
        load_mapping(Path("suites/none.yaml"))


def test_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.yaml").write_text("a: 1\n")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match=r"x\.yaml: cannot be read: Permission denied$"):
        load_mapping(tmp_path / "x.yaml")


SCALARS: dict[str, Any] = {
    "true": True, "True": True, "FALSE": False, "false": False,
    "null": None, "~": None, "": None, "NULL": None,
    "0": 0, "-17": -17, "+3": 3, "010": 10, "0x1F": 31, "0o17": 15, "9223372036854775807": 2**63 - 1,
    "1e-4": 1e-4, "1E5": 1e5, "1.5": 1.5, ".5": 0.5, "2.": 2.0, "-0.25e+2": -25.0, "1e4": 10000.0,
    "yes": "yes", "no": "no", "on": "on", "off": "off", "y": "y", "1:30": "1:30", "1_000": "1_000",
    "2026-11-21": "2026-11-21", "2026-11-21T10:00:00Z": "2026-11-21T10:00:00Z", "0x": "0x", "0b11": "0b11",
    "1.2.3": "1.2.3", "inf": "inf", "nan": "nan", "tRue": "tRue", "-": None, "4/4": "4/4", "e5": "e5",
    "'1'": "1", '"true"': "true", "'it''s'": "it's", '"\\u00e9\\t\\n"': "é\t\n", "١٢": "١٢",
    "a b": "a b", "a#b": "a#b", "http://x": "http://x", "Größe 像素 😀": "Größe 像素 😀", "=": "=",
}  # fmt: skip


@pytest.mark.parametrize("text", [text for text in SCALARS if text != "-"])
def test_scalar(tmp_path: Path, text: str) -> None:
    data = read(tmp_path, f"a: {text}\nb: [{text or '~'}]\nc:\n- {text}\n").data
    expected = SCALARS[text]
    assert data == {"a": expected, "b": [expected], "c": [expected]}
    assert type(data["a"]) is type(expected)


def test_every_form_and_its_lines(tmp_path: Path) -> None:
    source = read(
        tmp_path,
        """\
# a comment
title: one  # another
text: |
  first
    second

folded: >-
  one
  line
rows:
  - id: a
    bits: {w: 4,
           a: 8}

  -
    id: b
    list: [1,
      [2, 3]]
empty: {}
none:
'quoted key': "x
  y"
""",
    )
    assert source.data == {
        "title": "one",
        "text": "first\n  second\n",
        "folded": "one line",
        "rows": [{"id": "a", "bits": {"w": 4, "a": 8}}, {"id": "b", "list": [1, [2, 3]]}],
        "empty": {},
        "none": None,
        "quoted key": "x y",
    }
    lines: dict[tuple[str | int, ...], int] = {
        (): 2, ("title",): 2, ("text",): 3, ("folded",): 7, ("rows",): 11, ("rows", 0): 11,
        ("rows", 0, "bits"): 12, ("rows", 0, "bits", "a"): 13, ("rows", 1): 16, ("rows", 1, "list"): 17,
        ("rows", 1, "list", 1, 0): 18, ("empty",): 19, ("none",): 20, ("quoted key",): 21,
        ("rows", 1, "absent", 3): 16, ("absent",): 2,
    }  # fmt: skip
    assert {loc: source.line(loc) for loc in lines} == lines
    assert source.key_line(("rows",)) == 10
    assert source.key_line(("rows", 1)) == 16


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf", b"---\r\n"])
def test_windows_line_ends_and_byte_order_mark(tmp_path: Path, prefix: bytes) -> None:
    source = read(tmp_path, prefix + b"a: 1\r\nb: |\r\n  x\r\n  y\r\nc:\r\n  - z\r\n")
    assert source.data == {"a": 1, "b": "x\ny\n", "c": ["z"]}
    assert source.line(("c", 0)) == 6 + prefix.count(b"\n")


SAMPLE = "a: 1\nb: [x, {c: 1e-4}]\nd:\n  - 'e': \"f\\n\"\n  - |\n    g\n? h\n: ~\n"
TOKENS = [*"[]{}:,?-|>!&*%@`'\"#\\\n\t ", "- ", ": ", "<<: ", "\n  ", "---\n", "...\n", "!!str ", "\\U", "é"]
TEXTS = st.one_of(
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=60),
    st.lists(st.sampled_from([*TOKENS, "a", "1"]), max_size=40).map(lambda parts: "".join(parts).encode()),
    st.tuples(
        st.integers(0, len(SAMPLE)),
        st.integers(0, 4),
        st.one_of(st.sampled_from(TOKENS), st.text(max_size=4)),
    ).map(lambda m: (SAMPLE[: m[0]] + m[2] + SAMPLE[m[0] + m[1] :]).encode("utf-8", "surrogatepass")),
)


@settings(max_examples=fuzz_examples(200), deadline=None)
@given(content=TEXTS)
def test_fuzz_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        source = read(folder, content)
    except UsageError as error:
        assert str(error).startswith(f"{folder / 'x.yaml'}:") and len(str(error).splitlines()) == 1
        line = int(str(error).removeprefix(f"{folder / 'x.yaml'}:").split(":")[0])
        assert 1 <= line <= content.count(b"\n") + 1
    else:
        json.dumps(source.data, allow_nan=False).encode("utf-8")
        assert all(1 <= line <= content.count(b"\n") + 1 for line in source.lines.values())


class Row(Spec):
    id: Annotated[str, Field(min_length=1)]
    bits: Annotated[int, Field(ge=2, le=8)] = 8
    rate: float = 0.1
    size: tuple[int, int] = (1, 1)
    warm: bool | None = None
    only: int | Literal["all"] | None = None

    @field_validator("id")
    @classmethod
    def _lower(cls, value: str) -> str:
        if not value.islower():
            raise ValueError("must be\nlower case")
        return value


class Table(Spec):
    metric: Literal["coco", "voc07"] = "coco"
    rows: tuple[Row, ...] = ()
    data: DataSpec | None = None
    tiers: dict[Literal["mini", "paper"], Row] = Field(default={})
    named: Annotated[str, Field(pattern="^[a-z]+$", max_length=5)] = "a"
    some: Annotated[tuple[int, ...], Field(min_length=1, max_length=2)] = (1,)
    pair: Annotated[tuple[int, ...], Field(min_length=2)] = (1, 2)


VOC = "data:\n  kind: voc\n  path: x\n  difficult: crowd\n  train: [a]\n  test: [b]\n"
COCO = "data:\n  kind: coco\n  path: x\n  train: {annotations: a, images: b}\n  test:\n    annotations: a\n"
MISFITS: list[tuple[str, list[str]]] = [
    ("metrc: coco\n", ['1: unknown key "metrc"; did you mean "metric"?']),
    ("metric: coco\nzzz: 1\n", ['2: unknown key "zzz" (known: data, metric, named, pair, rows, ']),
    ("rows:\n- id: a\n  bitz:\n    4\n", ['3: rows[0]: unknown key "bitz"; did you mean "bits"?']),
    ("metric: coco\nrows:\n\n- bits: 4\n", ['4: rows[0]: missing key "id"']),
    ("rows:\n- id: a\n  bits: x\n", ['3: rows[0].bits: expected an integer, found the string "x"']),
    ("rows:\n- {id: a, bits: 4.0}\n", ["2: rows[0].bits: expected an integer, found the number 4.0"]),
    ("rows:\n- {id: a, bits: true}\n", ["2: rows[0].bits: expected an integer, found true"]),
    ("rows:\n- {id: 7}\n", ["2: rows[0].id: expected a string, found the integer 7"]),
    ("rows:\n- {id: a, rate: high}\n", ['2: rows[0].rate: expected a number, found the string "high"']),
    ("rows:\n- {id: a, warm: yes}\n", ['2: rows[0].warm: expected true or false, found the string "yes"']),
    ("rows:\n  a: 1\n", ["1: rows: expected a list, found a mapping"]),
    ("rows:\n- a\n", ['2: rows[0]: expected a mapping, found the string "a"']),
    ("rows:\n", ["1: rows: expected a list, found nothing (null)"]),
    ("rows:\n- {id: a, bits: 1}\n", ["2: rows[0].bits: must be at least 2, found the integer 1"]),
    ("rows:\n- {id: a, bits: 9}\n", ["2: rows[0].bits: must be at most 8, found the integer 9"]),
    ("rows:\n- id: ''\n", ["2: rows[0].id: must not be empty"]),
    ("rows:\n- id: A\n", ["2: rows[0].id: must be lower case"]),
    ("rows:\n- {id: a, size: [1]}\n", ['2: rows[0].size: missing entry [1]']),
    ("metric: voc\n", ["1: metric: expected 'coco' or 'voc07', found the string \"voc\""]),
    (
        "rows:\n- {id: a, only: some}\n",
        ["2: rows[0].only: expected an integer or 'all', found the string \"some\""],
    ),
    ("named: A\n", ['1: named: the string "A" does not match the pattern ^[a-z]+$']),
    ("named: abcdef\n", ["1: named: must have at most 5 characters, found 6"]),
    ("some: []\n", ["1: some: must not be empty"]),
    ("some: [1, 2, 3]\n", ["1: some: must have at most 2 entries, found 3"]),
    ("pair:\n- 1\n", ["1: pair: must have at least 2 entries, found 1"]),
    (
        "tiers:\n  mini: {id: a}\n  maxi: {id: b}\n",
        ["3: tiers: unknown key \"maxi\" (expected 'mini' or 'paper')"],
    ),
    (
        "metric: coco\ndata:\n  path: x\n",
        ["2: data: missing key \"kind\" (one of 'shapes-voc', 'shapes-coco', 'voc', 'coco', 'roboflow', 'yolo')"],
    ),
    (
        "data:\n  kind: cocoa\n",
        [
            "2: data.kind: expected one of 'shapes-voc', 'shapes-coco', 'voc', 'coco', 'roboflow', 'yolo', "
            'found the string "cocoa"'
        ],
    ),
    ("data: 3\n", ["1: data: expected a mapping, found the integer 3"]),
    (VOC + "  pth: y\n", ['7: data: unknown key "pth"; did you mean "path"?']),
    (VOC + "  voc: y\n", ['7: data: unknown key "voc" (known: ']),
    (VOC + "  min_side: -1\n", ["7: data.min_side: must be at least 0, found the integer -1"]),
    (COCO, ['5: data.test: missing key "images"']),
    (COCO + "    images: b\n    image: b\n", ['8: data.test: unknown key "image"; did you mean "images"?']),
    (
        "rows:\n- {id: a, bits: 1}\nmetric: x\nfoo: 1\n",
        ["2: rows[0].bits: must", "3: metric: expected", '4: unknown key "foo"'],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISFITS)
def test_misfit_in_plain_words(tmp_path: Path, text: str, expected: list[str]) -> None:
    source = read(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        validate(Table, source)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(f"{source.path}:{start}"), line


def test_fitting_mapping_becomes_the_model(tmp_path: Path) -> None:
    table = validate(Table, read(tmp_path, VOC + "rows:\n- {id: a, size: [2, 3], rate: 1}\nmetric: voc07\n"))
    assert table.rows[0].size == (2, 3)
    assert table.data is not None and table.data.kind == "voc"


def test_many_misfits_are_counted_in_time(tmp_path: Path) -> None:
    source = read(tmp_path, "".join(f"metrc{i}: 1\n" for i in range(3000)))
    start = time.process_time()
    with pytest.raises(UsageError) as caught:
        validate(Table, source)
    assert time.process_time() - start < 1
    lines = str(caught.value).splitlines()
    assert len(lines) == 6 and lines[-1] == "… and 2995 more"


def test_part_of_a_file_without_its_model(tmp_path: Path) -> None:
    class Options(BaseModel, extra="forbid"):
        rate: float

    source = read(tmp_path, "rows:\n- id: a\n  options:\n    rat: 1\n")
    with pytest.raises(ValidationError) as caught:
        Options.model_validate(source.data["rows"][0]["options"])
    at = ("rows", 0, "options")
    assert describe(caught.value, source, at) == [
        f'{source.path}:3: rows[0].options: missing key "rate"',
        f'{source.path}:4: rows[0].options: unknown key "rat"',
    ]
    assert describe(caught.value, source, at, Options)[1].endswith('did you mean "rate"?')


def test_a_list_of_wrong_entries_is_not_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("title: t\nrows:\n  - {id: a, label: A, detector: d, bits: 1/1}\ntiers: {}\n")
    with pytest.raises(UsageError) as raised:
        validate(Suite, load_mapping(path))
    assert "rows: must not be empty" not in str(raised.value) and ":3: rows[0].bits" in str(raised.value)
