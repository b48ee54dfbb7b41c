"""Data as public tools export them: read, verified, made into a suite by `init`, and planned, without a hand edit."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import exports
import pytest
from conftest import PROJECT, bench
from pydantic import TypeAdapter, ValidationError

from bench.cli.main import main
from bench.data.dataset import Dataset
from bench.data.load import absent_data, fingerprint, load, unusable_data
from bench.data.paths import Listed
from bench.data.voc_files import held_out
from bench.errors import BenchError, UsageError
from bench.records.store import Store
from bench.schema.data import DataSpec, HeldOut
from bench.schema.load import load_suite

SPEC: TypeAdapter[Any] = TypeAdapter(DataSpec)


def spec(**fields: Any) -> Any:
    return SPEC.validate_json(json.dumps(fields))


def read(root: Path, part: str = "test", /, **fields: Any) -> Dataset:
    return load(spec(**fields), part, root, root)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(exports.ALL))
def test_an_export_goes_through_verify_init_and_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    exports.ALL[name](tmp_path / "set")
    for arguments in (
        ("init", "mine/set", "--data", str(tmp_path / "set")),
        ("data", "verify", "mine/set", "--tier", "smoke"),
        ("plan", "mine/set", "--tier", "mini"),
    ):
        assert main(["--root", str(tmp_path), *arguments]) == 0
    text = capsys.readouterr().out
    assert "6 images" in text and "classes: bolt" in text and "\n4 missing" in text
    suite = load_suite("mine/set", tmp_path)
    assert [str(row.bits) for row in suite.suite.rows] == ["32/32", "32/32", "8/8", "4/4"]
    assert list(suite.suite.tiers) == ["smoke", "mini"]
    data = suite.tier("mini").data
    for split in ("train", "test"):
        loaded = load(data, split, tmp_path, tmp_path)  # type: ignore[arg-type]
        assert loaded.classes == exports.NAMES, "roots are no classes"
        assert {annotation["category_id"] for annotation in loaded.coco["annotations"]} == {1, 2}


@pytest.mark.parametrize(
    ("path", "kind", "images"),
    [
        ("data/bccd", "voc", (205, 72)),
        ("data/coco_val2017_free", "coco", (72, 72)),
        ("data/coco_train2017_free", "coco", (70, 70)),
        ("data", "coco", (70, 72)),
    ],
)
def test_real_sets_go_through_verify_init_and_plan(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, kind: str, images: tuple[int, int]
) -> None:
    given = ("--kind", kind) if path == "data" else ()
    for arguments in (
        ("init", "real", "--data", str(shared / path), *given),
        ("data", "verify", "real"),
        ("plan", "real"),
    ):
        assert main(["--root", str(tmp_path), *arguments]) == 0
    text = capsys.readouterr().out
    assert f"train: {images[0]} images" in text and f"\ntest: {images[1]} images" in text and "\n4 missing" in text
    assert ("trained on are scored too" in text) == (images[0] == images[1])


def test_a_yolo_folder_in_numbers(tmp_path: Path) -> None:
    exports.ultralytics(tmp_path / "set")
    data = read(tmp_path, "train", kind="yolo", path="set")
    assert data.counts() == {"images": 6, "boxes": 10, "crowd": 0, "empty_images": 1, "absent-label": 1}
    first, second = data.coco["annotations"][:2]
    assert first["bbox"] == pytest.approx([10, 9, 20, 30]) and first["category_id"] == 1
    assert second["bbox"] == pytest.approx([20, 9, 20, 30]), "the box around a polygon"
    assert data.coco["images"][0] == {"id": 1, "file_name": "images/train/000000.jpg", "width": 80, "height": 60}
    assert read(tmp_path, kind="yolo", path="set", classes=("nut",)).counts()["boxes"] == 2


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0 0.5 0.5 0.2", "broken-label"),
        ("0 0.5 0.5 0.2 nut", "broken-label"),
        ("0 40 30 20 10", "broken-label"),
        ("0 0.5 0.5 0 0.1", "broken-label"),
        ("0 nan 0.5 0.1 0.1", "broken-label"),
        ("inf 0.5 0.5 0.1 0.1", "broken-label"),
        ("0.5 0.5 0.5 0.1 0.1", "broken-label"),
        ("2 0.5 0.5 0.1 0.1", "unknown-class"),
        ("-1 0.5 0.5 0.1 0.1", "unknown-class"),
        ("0 0.25 0.4 0.25 0.5", "twin-label"),
        ("0 0.95 0.5 0.5 0.1", "outside-box"),
    ],
)
def test_a_wrong_line_of_a_label_file_is_named(tmp_path: Path, line: str, kind: str) -> None:
    exports.ultralytics(tmp_path / "set")
    file = tmp_path / "set/labels/val/000000.txt"
    file.write_text(file.read_text() + line + "\n\n")
    data = read(tmp_path, kind="yolo", path="set")
    assert [problem.kind for problem in data.problems] == [kind]
    assert len(data.coco["annotations"]) == 4 + (kind == "outside-box")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("names: [a, a]\ntrain: images/train\nval: images/val", "a name stands twice"),
        ("names: [yes, no]\ntrain: images/train\nval: images/val", "YAML reads one as True; write it in quotes"),
        ("names: {0: a, 2: b}\ntrain: images/train\nval: images/val", "must be numbered 0, 1, 2"),
        ("names: []\ntrain: images/train\nval: images/val", "names must list the classes"),
        ("nc: 3\nnames: [a, b]\ntrain: images/train\nval: images/val", "nc is 3, names are 2"),
        ("names: [a, b]\ntrain: images/train", "val names no folder of images; splits there: train"),
        ("names: [a, b]\ntrain: images/train\nval: images/gone", "no such folder or list"),
        ("names: [a, b]\ntrain: images/train\nval: /etc", "leaves the folder"),
        ("names: [a, b]\ntrain: images/train\nval: 7", "val names no folder of images"),
        ("names: [a, b\ntrain: images/train", "not YAML"),
        ("- a", "a mapping with names and splits is wanted"),
        ("\xff\x00", "not YAML"),
        ("names: [a, b]\ntrain: images/train\nval: list.txt", "leaves the folder"),
    ],
)
def test_a_wrong_yaml_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    exports.ultralytics(tmp_path / "set")
    (tmp_path / "set/data.yaml").write_text(text)
    (tmp_path / "set/list.txt").write_text("../../etc/passwd.jpg\n")
    with pytest.raises(BenchError, match=words) as caught:
        read(tmp_path, kind="yolo", path="set")
    assert "\n" not in str(caught.value) and "data.yaml" in str(caught.value) + "data.yaml" * (words[0] == "l")


def test_a_list_of_images_is_a_split_of_yolo(tmp_path: Path) -> None:
    exports.ultralytics(tmp_path / "set")
    (tmp_path / "set/data.yaml").write_text("names: [a, b]\ntrain: images/train\nval: list.txt")
    (tmp_path / "set/list.txt").write_text("./images/val/000001.jpg\nimages/gone.jpg\n")
    data = read(tmp_path, kind="yolo", path="set")
    assert [image["file_name"] for image in data.coco["images"]] == ["images/val/000001.jpg"]
    assert [problem.kind for problem in data.problems] == ["absent-image"]


def test_what_other_writers_of_yaml_and_lists_mean(tmp_path: Path) -> None:
    """Keys that are texts, Windows' separators, absolute paths in lists, and what macOS leaves."""
    exports.ultralytics(tmp_path / "set")
    counts = read(tmp_path, kind="yolo", path="set").counts()
    (tmp_path / "set/images/val/._000000.jpg").write_bytes(b"\0\5\x16\7")
    (tmp_path / "set/data.yaml").write_text("names: {'0': a, '1': b}\ntrain: images\\train\nval: images\\val\n")
    assert read(tmp_path, kind="yolo", path="set").counts() == counts
    files = sorted((tmp_path / "set/images/val").glob("0*.jpg"))
    (tmp_path / "set/val.txt").write_text("\r\n".join(map(str, files)))
    (tmp_path / "set/data.yaml").write_text("names: [a, b]\ntrain: images/train\nval: val.txt\n")
    data = read(tmp_path, kind="yolo", path="set")
    assert data.counts() == counts and data.coco["images"][0]["file_name"] == "images/val/000000.jpg"


def test_keypoints_behind_a_box_are_no_polygon(tmp_path: Path) -> None:
    exports.ultralytics(tmp_path / "set")
    for file in (tmp_path / "set/labels/val").iterdir():
        file.write_text("0 0.5 0.5 0.2 0.3 0.1 0.1 0.9 0.9\n")
    yaml = tmp_path / "set/data.yaml"
    around = read(tmp_path, kind="yolo", path="set").coco["annotations"][0]["bbox"]
    yaml.write_text(f"{yaml.read_text()}\nkpt_shape: [2, 2]\n")
    assert read(tmp_path, kind="yolo", path="set").coco["annotations"][0]["bbox"] == pytest.approx([32, 21, 16, 18])
    assert around[2] > 60


def test_a_yolo_pin_covers_labels_images_and_names(tmp_path: Path) -> None:
    exports.ultralytics(tmp_path / "set")
    yolo = spec(kind="yolo", path="set")
    pins = {fingerprint(yolo, tmp_path)}
    (tmp_path / "set/labels/val/000000.txt").write_text("0 0.5 0.5 0.1 0.1")
    pins.add(fingerprint(yolo, tmp_path))
    exports.picture(tmp_path / "set/images/train/000000.jpg", 77)
    pins.add(fingerprint(yolo, tmp_path))
    with (tmp_path / "set/data.yaml").open("a") as file:
        file.write("# another\n")
    pins.add(fingerprint(yolo, tmp_path))
    assert len(pins) == 4
    for file in (tmp_path / "set/labels/val").iterdir():
        file.write_text("")
    assert "no box in any label file of split test" in (unusable_data(yolo, tmp_path) or "")
    (tmp_path / "set/data.yaml").unlink()
    assert absent_data(yolo, tmp_path) == (f"{tmp_path}/set/data.yaml: no such file",)


def test_a_roboflow_pin_is_that_of_its_files(tmp_path: Path) -> None:
    exports.roboflow_coco(tmp_path / "set")
    roboflow = spec(kind="roboflow", path="set", tune="valid")
    before = fingerprint(roboflow, tmp_path)
    assert load(roboflow, "tune", tmp_path, tmp_path).counts()["images"] == 2
    with pytest.raises(UsageError, match="no tune split"):
        read(tmp_path, "tune", kind="roboflow", path="set")
    file = tmp_path / "set/valid/_annotations.coco.json"
    file.write_text(file.read_text().replace("600", "601"))
    assert fingerprint(roboflow, tmp_path) != before
    file.unlink()
    assert absent_data(roboflow, tmp_path) == (f"{file}: no such file",)


def test_a_voc_folder_without_lists_is_split_by_rule(tmp_path: Path) -> None:
    exports.labelimg(tmp_path / "set")
    parts = {
        role: held_out(tmp_path / "set", HeldOut(test=0.25, tune=0.25), role) for role in ("train", "tune", "test")
    }
    assert [len(part) for part in parts.values()] == [4, 2, 2]
    assert sorted(one.id for part in parts.values() for one in part) == [f"p{n}" for n in range(8)]
    assert parts["test"] == [Listed(".", "p5"), Listed(".", "p7")], "the same on every machine"
    assert held_out(tmp_path / "set", HeldOut(test=0.25, tune=0.25, seed=1), "test") != parts["test"]
    fields = {"kind": "voc", "path": "set", "difficult": "crowd"}
    quarter = {**fields, "split": {"test": 0.25}}
    assert fingerprint(spec(**quarter), tmp_path) != fingerprint(spec(**fields, split={"test": 0.5}), tmp_path)
    assert (
        read(tmp_path, **quarter).counts()["images"] == 2 and read(tmp_path, "train", **quarter).counts()["images"] == 6
    )
    for wrong in ({"split": {"test": 0.5}, "test": ["a"]}, {"train": ["a"]}, {"split": {"test": 0.6, "tune": 0.4}}, {}):
        with pytest.raises(ValidationError):
            spec(**fields, **wrong)
    for file in sorted((tmp_path / "set/Annotations").iterdir())[1:]:
        file.unlink()
    with pytest.raises(BenchError, match="1 annotation files cannot be split"):
        read(tmp_path, **quarter)


INIT = ("init", "mine/x", "--data")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*INIT, "gone"), "gone: no such folder"),
        ((*INIT, "empty"), "is no data set that is known here; looked for train/_annotations.coco.json"),
        ((*INIT, "empty", "--kind", "voc"), "looked for Annotations/ and JPEGImages/"),
        ((*INIT, "voc", "--kind", "yolo"), "looked for data.yaml"),
        ((*INIT, "voc", "--kind", "roboflow"), "looked for train/_annotations.coco.json"),
        ((*INIT, "voc", "--kind", "csv"), "invalid choice: 'csv'"),
        ((*INIT, "voc/JPEGImages"), "is no data set"),
        ((*INIT, "voc", "--difficult", "never"), "invalid choice: 'never'"),
        ((*INIT, "coco", "--difficult", "drop"), "--difficult drop: belongs to VOC; this is coco"),
        (("init", "Mine", "--data", "voc"), "write lower-case letters"),
        (("init", "", "--data", "voc"), "write lower-case letters"),
        (("init", "../x", "--data", "voc"), "write lower-case letters"),
        (("init", "/abs/x", "--data", "voc"), "write lower-case letters"),
        (("init", "a b", "--data", "voc"), "write lower-case letters"),
        (("init", "there", "--data", "voc"), "there is a suite of that name"),
        (("init", "mine/x"), "required: --data"),
        (("init", "--data", "voc"), "required: NAME"),
        (("init", "mine/x", "y", "--data", "voc"), "unrecognized arguments: y"),
        ((*INIT, "lonely"), "only train/ has _annotations.coco.json"),
        ((*INIT, "noyaml"), "names no images of train, or none of val and test: "),
        ((*INIT, "nobox"), "no box in any label file of split train: "),
        ((*INIT, "badyaml"), "data.yaml:1: not YAML"),
        ((*INIT, "noimages"), "is in no folder below"),
        ((*INIT, "cutoff"), "not JSON"),
        ((*INIT, "two"), "has no lists of train and test"),
        (("data", "verify", "there", "--all", "yes"), "unrecognized arguments: yes"),
        (("data", "verify", "there", "--al"), None),
        (("data", "verify", "nowhere"), "unknown suite 'nowhere'"),
        (("data", "get", "nowhere"), "no data pin 'nowhere'"),
        (("data", "make", "there"), "only Shapes are generated"),
        (("plan", "wrong/both"), "`split` takes the place of train, tune and test"),
        (("plan", "wrong/neither"), "train names no split list"),
        (("plan", "wrong/all"), "leave nothing to train on"),
        (("plan", "wrong/share"), "split.test"),
        (("plan", "wrong/seed"), "split.seed"),
        (("plan", "wrong/kind"), "kind"),
        (("plan", "wrong/yolo"), 'unknown key "difficult"'),
        (("plan", "wrong/roboflow"), "test: expected a string, found a list"),
    ],
)
def test_wrong_calls_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    _all_kinds(tmp_path)
    if words is None:
        assert main(list(arguments)) == 0, "an abbreviated option"
        return
    try:
        code = main(list(arguments))
    except SystemExit as exit_:
        code = exit_.code  # type: ignore[assignment]
    error = capsys.readouterr().err
    assert code == 2 and "Traceback" not in error
    line = error.strip().splitlines()[-1]
    assert words in line and "qdet-bench" in error
    assert not (tmp_path / "suites/mine").exists(), "nothing is left behind"


def _all_kinds(root: Path) -> None:
    exports.labelimg(root / "voc")
    exports.cvat_coco(root / "coco")
    exports.roboflow_coco(root / "lonely")
    for split in ("valid", "test"):
        (root / "lonely" / split / "_annotations.coco.json").unlink()
    exports.ultralytics(root / "noyaml")
    (root / "noyaml/data.yaml").write_text("names: [a]\ntrain: gone\nval: images/val")
    exports.ultralytics(root / "nobox")
    for file in root.glob("nobox/labels/*/*.txt"):
        file.write_text("cat 0.5 0.5 0.1 0.1")
    (root / "badyaml").mkdir()
    (root / "badyaml/data.yaml").write_text("names: [a")
    exports.cvat_coco(root / "noimages")
    for file in (root / "noimages/images/train").iterdir():
        file.unlink()
    exports.cvat_coco(root / "cutoff")
    for file in root.glob("cutoff/**/*val*.json"):
        file.write_text(file.read_text()[:200])
    exports.labelimg(root / "two/a")
    exports.labelimg(root / "two/b")
    (root / "empty").mkdir()
    assert main(["init", "there", "--data", "voc"]) == 0
    text = (root / "suites/there.yaml").read_text()
    rule = json.dumps(load_suite("there", root).tier("mini").data.model_dump(mode="json")["split"])
    assert rule == '{"test": 0.2, "tune": 0.0, "seed": 0}'
    wrong = {
        "both": '"split": {"test": 0.2, "seed": 0}, "train": ["a"]',
        "neither": '"tune": ["a"]',
        "all": '"split": {"test": 0.5, "tune": 0.5}',
        "share": '"split": {"test": 1.5}',
        "seed": '"split": {"test": 0.5, "seed": -1}',
    }
    (root / "suites/wrong").mkdir()
    for name, fields in wrong.items():
        changed = text.replace('"split": {"test": 0.2, "seed": 0}', fields)
        assert changed != text
        (root / f"suites/wrong/{name}.yaml").write_text(changed)
    for name, data in (
        ("kind", '{"kind": "csv", "path": "voc"}'),
        ("yolo", '{"kind": "yolo", "path": "voc", "difficult": "crowd"}'),
        ("roboflow", '{"kind": "roboflow", "path": "voc", "test": []}'),
    ):
        start = text.index('{"kind"')
        (root / f"suites/wrong/{name}.yaml").write_text(text.replace(text[start : text.index("\n", start)], data))


@pytest.mark.long
@pytest.mark.parametrize("name", ["labelimg", "ultralytics", "roboflow_coco"])
def test_a_suite_that_init_wrote_runs_at_once(tmp_path: Path, name: str) -> None:
    exports.ALL[name](tmp_path / "set")
    bench(tmp_path, "init", "mine", "--data", str(tmp_path / "set"))
    assert "4 executed" in bench(tmp_path, "run", "mine", "--tier", "smoke").stdout
    assert len(list(Store(tmp_path).records())) == 4
    assert len(list((tmp_path / "results/local/images").iterdir())) == 2, "each split is decoded once"


@pytest.mark.long
def test_a_wheel_works_in_an_empty_folder(tmp_path: Path) -> None:
    """What a user has who clones nothing: published numbers, pins, and the way from `init` to `check`."""
    place, empty = tmp_path / "place", tmp_path / "empty"
    empty.mkdir()
    exports.labelimg(tmp_path / "set")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    built = ("wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(PROJECT))
    subprocess.run([*pip, *built], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", str(place), str(wheel)], check=True)

    def said(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(place)}
        command = [sys.executable, "-m", "bench", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=empty, env=environment)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    assert "There are no suites below suites" in said("list")
    assert "voc2007-test" in said("data", "list")
    said("init", "mine", "--data", str(tmp_path / "set"))
    assert "4 executed" in said("run", "mine", "--tier", "smoke")
    assert "LSQ" in said("table", "mine", "--tier", "smoke")
    said("accept", "mine", "--tier", "smoke")
    assert "4 holds" in said("check", "mine", "--tier", "smoke")
