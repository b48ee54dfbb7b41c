"""The annotation files of a VOC directory: found by id, parsed, and why not. Imports nothing slow: planning asks it."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from bench.data.dataset import Problem, summary
from bench.data.paths import IMAGE_SUFFIXES, Listed, Listing, read_split
from bench.data.voc_xml import VocFile, parse_voc
from bench.errors import BenchError
from bench.schema.data import HeldOut


def read_annotation(folder: Path, member: Listed) -> VocFile | Problem:
    """The parsed `Annotations/<id>.xml` of an image, or why there is none."""
    annotations = folder / member.part / "Annotations"
    path = annotations / f"{member.id}.xml"
    try:
        return parse_voc(path.read_bytes(), path.name)
    except FileNotFoundError:
        return Problem("absent-annotation", member.id, f"no {path.name}{_hint(annotations, member.id)}: image left out")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return Problem("broken-annotation", path.name, f"{reason}: image left out")


def _hint(folder: Path, id_: str) -> str:
    """What may have been meant by an id that is a file's name, with folders, in another letter case or with a flag."""
    name = PurePosixPath(id_.split()[0])
    suffix = name.suffix if name.suffix.lower() in (*IMAGE_SUFFIXES, ".xml") else ""
    stem = name.name.removesuffix(suffix)
    found = next((one for one in (stem, stem.lower(), stem.upper()) if (folder / f"{one}.xml").is_file()), None)
    if found is None or found == id_:
        return ""
    how = f"ids without {suffix}" if id_ == f"{found}{suffix}" else f"the id {found}"
    return f", but {found}.xml: write {how} into the split list"


def read_annotations(folder: Path, listed: Sequence[Listed], problems: list[Problem]) -> dict[Listed, VocFile]:
    """The parsed file of each image that has one; the others are reported."""
    parsed = {}
    for member in listed:
        found = read_annotation(folder, member)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            parsed[member] = found
    return parsed


def listed_once(folder: Path, splits: Iterable[str], problems: list[Problem]) -> list[Listed]:
    """The images of several split lists, in order, each once."""
    members: dict[Listed, str] = {}
    for split in splits:
        found = read_split(folder, split)
        problems += found.problems
        for member in found.members:
            if member in members:
                detail = f"{member.id} is in {members[member]} already"
                problems.append(Problem("duplicate-id", split, detail))
            members.setdefault(member, split)
    return list(members)


def held_out(folder: Path, rule: HeldOut, role: str) -> list[Listed]:
    """The images of one split by the rule, in order of their ids; BenchError where fewer than two are annotated.

    All with an annotation file are ranked by the hash of the seed and their id: the first are the test split, the next
    ones the tune split.
    """
    names = Listing(folder / "Annotations").names()
    # `._a.xml` is what macOS leaves beside a file on a foreign disk.
    ids = [name.removesuffix(".xml") for name in names if name.endswith(".xml") and not name.startswith(".")]
    if len(ids) < 2:
        raise BenchError(f"{folder / 'Annotations'}: {len(ids)} annotation files cannot be split; two are the least")
    ranked = sorted(ids, key=lambda id_: hashlib.sha256(f"{rule.seed} {id_}".encode(errors="surrogatepass")).digest())
    test = min(max(1, round(rule.test * len(ids))), len(ids) - 1)
    tune = min(round(rule.tune * len(ids)), len(ids) - 1 - test)
    parts = {"test": ranked[:test], "tune": ranked[test : test + tune], "train": ranked[test + tune :]}
    return [Listed(".", id_) for id_ in sorted(parts[role])]


def unusable(folder: Path, listed: Sequence[Listed], what: str) -> str | None:
    """Why no image of a split has annotations, each reason with its file; None as soon as one has.

    `what` names the split in words, such as `train (trainval)`.
    """
    if not listed:
        return f"{folder}: split {what} lists no image"
    problems = []
    for member in listed:
        found = read_annotation(folder, member)
        if not isinstance(found, Problem):
            return None
        problems.append(found)
    return f"{folder}: no annotation file of split {what} can be used: {summary(problems)}"


def no_object(folder: Path, listed: Iterable[Listed]) -> str | None:
    """Why no annotation file gives an object; None as soon as one does."""
    problems: list[Problem] = []
    for member in listed:
        found = read_annotation(folder, member)
        if isinstance(found, Problem):
            problems.append(found)
        elif found.objects:
            return None
        else:
            problems += found.problems
    return f"{folder}: no object in any annotation file{f': {summary(problems)}' if problems else ''}"
