"""`report`: one file that shows what the records say, no more and no less."""

import gzip
import json
import re
import subprocess
import sys
from base64 import b64decode
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from factories import located, measure_all, record_data, suite_data
from pages import Page

from bench.cli.main import main
from bench.plan.jobs import plan
from bench.records.files import write_json
from bench.records.store import Store
from bench.report.answers import answer, examples, further, headlines
from bench.report.claim_words import WORDS
from bench.report.html import categories, pareto
from bench.report.html.axis import MARGIN, axis, log_axis, minus, short
from bench.report.html.forest import forests
from bench.report.html.page import render
from bench.report.html.rows import label, rows
from bench.report.sections import Section, find_sections, grouped
from bench.report.standing import together
from bench.schema.load import Located, load_all
from bench.verdict.baseline import accept
from bench.verdict.gather import gather

PROJECT = Path(__file__).parents[1]
MOST_BYTES = 8_000_000
CLAIM = {"id": "gain", "text": "LSQ beats FP+ft", "source": "Table 9", "kind": "difference", "metric": "AP",
         "rows": ["lsq", "fp-ft"], "published": 0.5}  # fmt: skip


@pytest.fixture(scope="module")
def committed() -> list[Section]:
    suites, errors = load_all(PROJECT)
    assert not errors
    return find_sections(suites, ["committed"])


@pytest.fixture(scope="module")
def text(committed: list[Section]) -> str:
    return render(committed, "qdet-bench report", None)


def claiming(root: Path, gains: list[float]) -> Located:
    """A suite whose claim has these differences, in points, on as many repetitions."""
    data = suite_data(claims=[CLAIM])
    data["tiers"]["mini"]["seeds"] = len(gains)
    suite = located(root, data)
    for job in plan(suite, "mini"):
        gain = gains[job.repetition] if job.row.id == "lsq" else 0.0
        write_json(Store(root).folder(job.identity).record_file, record_data(job, 0.5 + gain / 100))
    return suite


def measured(suite: Located) -> Located:
    measure_all(suite)
    return suite


def one(suite: Located, **changes: Any) -> Section:
    (section,) = find_sections([suite], ["local"], **changes)
    return section


def test_the_committed_records_make_one_small_file_that_loads_nothing(text: str) -> None:
    page = Page(text)
    assert len(text.encode()) <= MOST_BYTES
    assert not page.outside
    assert not page.broken
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") for link in page.links)


def test_every_committed_number_leads_to_its_runs(committed: list[Section], text: str) -> None:
    numbers = 0
    for section in committed:
        for row, line in zip(section.table.row_ids, section.table.rows, strict=True):
            for cell, column in zip(line, section.table.columns, strict=True):
                if column.numeric and re.match(r"\d+\.", cell):
                    assert f'<a href="#{section.anchor(row)}">{cell}</a>' in text
                    numbers += 1
    assert numbers > 300


def test_every_run_shows_record_command_environment_commit_and_pin(committed: list[Section], text: str) -> None:
    packed = re.search(r'id="records">(.*?)</script>', text, re.S)
    assert packed is not None
    raw = json.loads(gzip.decompress(b64decode(packed[1])))
    for section in committed:
        for job in section.results.jobs:
            if (record := job.record) is not None:
                assert raw[f"{record.identity[:16]}-{record.environment_key[:8]}"]["protocol"] == record.protocol
                shown = (record.identity[:12], (record.provenance.commit or "")[:12], record.data.pin[:19])
                assert all(f"<code>{part}</code>" in text for part in shown)
                assert f'id="environment-{record.environment_key}"' in text


def test_away_from_tier_paper_every_section_says_that_it_confirms_nothing(committed: list[Section], text: str) -> None:
    for group in grouped(committed):
        if group.of_paper and not any(section.tier == "paper" for section in group.sections):
            assert "none of this confirms or refutes" in answer(group)[2]
    articles = re.findall(r'<article class="suite".*?</article>', text, re.S)
    assert len(articles) == len(committed)
    for article, section in zip(articles, [s for g in grouped(committed) for s in g.sections], strict=True):
        assert f"tier {section.tier}" in article
        assert section.table.data in article


def test_pairs_and_the_front_are_explained_where_they_are_drawn(text: str) -> None:
    agreements = text.split("<summary>Score and box: how well they agree</summary>")[1:]
    assert agreements
    for after in agreements:
        assert after.index("A pair is a detection and an object") < after.index("score and IoU over all pairs")
    assert text.index("The front is what is worth its cost") < text.index("On the front, from the cheapest")


def test_a_claim_is_drawn_where_its_numbers_are(tmp_path: Path) -> None:
    (family,) = forests(one(claiming(tmp_path, [1.0, 1.4, 1.2, 1.1])))
    (mark,) = family.marks
    answer_ = mark.found.answer
    assert mark.found.differences == pytest.approx([1.0, 1.4, 1.2, 1.1])
    assert mark.at == pytest.approx(family.scale.at(1.175))
    assert (mark.low, mark.high) == (family.scale.at(answer_.lower or 0), family.scale.at(answer_.upper or 0))
    assert [at for at, _ in mark.runs] == pytest.approx([family.scale.at(v) for v in (1.0, 1.4, 1.2, 1.1)])
    assert mark.paper_at == family.scale.at(0.5)
    assert family.zero == family.scale.at(0.0) == pytest.approx(MARGIN)


def test_what_is_decided_stands_first_and_what_claims_before_what_does_not(committed: list[Section]) -> None:
    groups = grouped(committed)
    for group in groups:
        order = [[*WORDS].index(claim.status) for _, claim in headlines(group)]
        assert order == sorted(order)
    claiming_ = [any(section.table.judged for section in group.sections) for group in groups]
    assert claiming_ == sorted(claiming_, reverse=True)


def test_no_verdict_hides_behind_another(committed: list[Section]) -> None:
    for group in grouped(committed):
        shown = [claim for _, claim in examples(group)]
        there = {claim.status for section in group.sections for claim in section.table.judged} - {"no result"}
        assert [claim.status for claim in shown] == [status for status in WORDS if status in there]
        main, more = [claim for _, claim in headlines(group)], [claim for _, claim in further(group)]
        assert more == [claim for claim in main if claim not in shown]


def test_no_column_is_empty_and_negative_numbers_have_a_true_minus(committed: list[Section]) -> None:
    for section in committed:
        found = rows(section)
        columns = zip(found.headings, zip(*(line.cells for line in found.lines), strict=True), strict=True)
        assert all(any(cell.text for cell in cells) for (_, numeric), cells in columns if numeric)
    told = minus("lsq-w2a2 gives -0.90 to +0.43 (-.5), --jobs 1")
    assert told == "lsq-w2a2 gives \N{MINUS SIGN}0.90 to +0.43 (\N{MINUS SIGN}.5), --jobs 1"


def test_claims_without_any_result_are_folded_away(tmp_path: Path) -> None:
    suite = claiming(tmp_path, [1.0])
    assert "; none has a result</summary>" not in render([one(suite)], "qdet-bench report", None)
    for job in plan(suite, "mini"):
        if job.row.id == "lsq":
            Store(tmp_path).folder(job.identity).record_file.unlink()
    assert "; none has a result</summary>" in render([one(suite)], "qdet-bench report", None)


def test_together_tables_stand_for_the_sum_of_their_runs_and_claims(committed: list[Section]) -> None:
    for group in grouped(committed):
        whole = together(section.table.standing for section in group.sections)
        jobs = [job for section in group.sections for job in section.results.jobs]
        assert whole.planned == len(jobs)
        assert whole.done + whole.earlier == sum(job.record is not None for job in jobs)
        claims = Counter(claim.status for section in group.sections for claim in section.table.judged)
        assert whole.claims == claims


def test_rows_that_have_not_run_are_folded_away(tmp_path: Path) -> None:
    page = render([one(claiming(tmp_path, [1.0]))], "qdet-bench report", None)
    folded = page[page.index("Not run: 1 row") :]
    assert "LSQ+HarDet*" in folded[: folded.index("</table>")]
    assert "LSQ+HarDet*" not in page[page.index("What was measured") : page.index("Not run: 1 row")]


@pytest.mark.parametrize(
    ("gains", "word"),
    [([1.0, 1.4, 1.2, 1.1], "hold"), ([-1.0, -1.4, -1.2, -1.1], "fail"), ([-9.0, 9.0, 1.0, 2.0], "inconclusive")],
)
def test_the_answer_is_made_from_the_verdicts(tmp_path: Path, gains: list[float], word: str) -> None:
    (group,) = grouped([one(claiming(tmp_path, gains))])
    measured, judged, scope = answer(group)
    assert "All 9 planned runs are done, at tier mini on Shapes-VOC (generated drawings, 64 px)" in measured
    assert word in judged
    assert "none of this confirms or refutes" in scope


def test_one_claim_is_told_of_in_the_singular() -> None:
    assert [WORDS[status].of(1) for status in ("holds", "equivalent", "inconclusive", "no result")] == [
        "1 holds",
        "1 shows no difference that matters",
        "1 is inconclusive",
        "1 is without a result",
    ]
    assert WORDS["fails"].of(2) == "2 fail"


def test_a_claim_of_one_run_has_no_interval(tmp_path: Path) -> None:
    (family,) = forests(one(claiming(tmp_path, [1.0])))
    assert (family.marks[0].low, family.marks[0].gain) == (None, "+1.00, no interval")


def test_every_verdict_on_a_claim_has_a_word_of_its_own() -> None:
    from typing import get_args

    from bench.verdict.claims import Status

    statuses = {word for part in get_args(Status) for word in (get_args(part) or (part,))}
    assert {*WORDS} == statuses
    assert len({word.sign for word in WORDS.values()}) == len(WORDS)


def test_what_was_measured_here_stands_apart_from_what_is_committed(tmp_path: Path) -> None:
    suite = located(tmp_path)
    measure_all(suite, fp=0.5)
    accept(gather(suite, "mini"))
    measure_all(suite, fp=0.6)
    sections = find_sections([suite], ["committed", "local"])
    page = render(sections, "qdet-bench report", None)
    assert [section.origin for section in sections] == ["committed", "local"]
    assert "50.00 †" in page
    assert "60.00 †" in page
    assert "measured here" in page
    assert not Page(page).broken


def test_compare_shows_how_each_mean_moved(tmp_path: Path) -> None:
    before, now = located(tmp_path / "before"), located(tmp_path / "now")
    for suite, fp in ((before, 0.5), (now, 0.52)):
        measure_all(suite, fp=fp)
        accept(gather(suite, "mini"))
    main(["--root", str(now.root), "report", "--compare", str(before.root), "--output", str(tmp_path / "r.html")])
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "change of AP" in page
    assert "+2.00" in page


def test_text_of_a_suite_cannot_become_markup(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script> & </style>"
    data = suite_data(title=nasty)
    data["rows"][1]["note"] = nasty
    suite = located(tmp_path, data)
    measure_all(suite)
    for job in plan(suite, "mini"):
        changed = record_data(job)
        changed["provenance"]["arguments"] = [nasty]
        write_json(Store(tmp_path).folder(job.identity).record_file, changed)
    page = render([one(suite)], "qdet-bench report", None)
    assert "<script>alert" not in page
    assert page.count("</style>") == 1
    assert page.count("</script>") == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--suite", "toy/absent"], "toy/absent"),
        (["--compare", "nowhere"], "--compare nowhere: there is no folder baselines/"),
        (["--committed"], "there is nothing to show"),
        (["--local"], "`--tier smoke` shows those of tier smoke"),
        (["--output", "."], "is a folder"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    tmp_path: Path, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    located(tmp_path)
    assert main(["--root", str(tmp_path), "report", *options]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_it_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from bench.cli.main import main; "
        f"main(['report', '--suite', 'hqod/table1', '--output', {str(tmp_path / 'r.html')!r}]); "
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


def test_axes_hold_their_values_and_have_round_ticks() -> None:
    scale = axis([3.2, 17.9], zero=True)
    assert [tick.label for tick in scale.ticks] == ["0", "5", "10", "15", "20"]
    assert scale.at(0) == MARGIN
    assert scale.at(20) == 100 - MARGIN
    assert scale.at(10) == pytest.approx(50)
    assert axis([-0.31, 0.4]).ticks[0].label.startswith("\N{MINUS SIGN}0.4")
    assert axis([]).ticks
    assert axis([0.1, 0.2], least=1.0).low == 0, "a share is never negative"
    assert axis([5.0]).low < 5 < axis([5.0]).high
    logs = log_axis([1e6, 1e9])
    assert logs.at(1e6) < logs.at(1e7) < logs.at(1e9)
    assert [short(v) for v in (12, 1234, 5.6e6, 7e9)] == ["12", "1.23\xa0k", "5.60\xa0M", "7.00\xa0G"], "columns align"


@pytest.fixture(scope="module")
def clouds(committed: list[Section]) -> list[pareto.Field]:
    return pareto.fields(committed)


def test_only_rows_of_one_data_set_share_a_picture_of_accuracy_and_cost(clouds: list[pareto.Field]) -> None:
    assert len(clouds) > 2
    assert len({(field.tier, field.data, field.metric) for field in clouds}) == len(clouds)


def test_rows_of_the_tune_split_are_not_drawn_beside_those_of_the_test_split(clouds: list[pareto.Field]) -> None:
    suites, _ = load_all(PROJECT)
    tuned = {(suite.name, label(row)) for suite in suites for row in suite.suite.rows if row.scored == "tune"}
    assert "hqod/tuning" in {suite for suite, _ in tuned}
    assert not tuned & {(point.suite, point.label) for field in clouds for point in field.points}


def test_a_job_that_suites_share_is_one_point(clouds: list[pareto.Field]) -> None:
    for field in clouds:
        places = [(point.label, point.detector, point.ap, point.bytes) for point in field.points]
        assert len(places) == len(set(places))


def test_the_front_is_drawn_last_and_named_from_the_cheapest(clouds: list[pareto.Field]) -> None:
    for cloud in (cloud for field in clouds for cloud in field.clouds):
        on_front = [front for _, _, _, front, _ in cloud.places]
        assert on_front == sorted(on_front)
        costs = [point.cost(cloud.kind) for point in cloud.front]
        assert costs == sorted(costs)
        assert len(costs) == sum(on_front)


def test_the_front_holds_what_no_other_row_beats(clouds: list[pareto.Field]) -> None:
    for field in clouds:
        for cloud in field.clouds:
            front = {id(point) for point, _, _, on_front, _ in cloud.places if on_front}
            for point in field.points:
                cost = point.cost(cloud.kind)
                cheaper = [o for o in field.points if o.cost(cloud.kind) < cost and o.ap >= point.ap]
                better = [o for o in field.points if o.cost(cloud.kind) <= cost and o.ap > point.ap]
                assert (id(point) in front) == (not cheaper and not better)


def test_a_category_is_compared_with_the_rows_control(tmp_path: Path) -> None:
    suite = located(tmp_path)
    for job in plan(suite, "mini"):
        ap = {"fp": 0.5, "fp-ft": 0.55, "lsq": 0.3}[job.row.id]
        categories_ = {"circle": {"AP": ap}, "square": {"AP": ap + (0.1 if job.row.id == "lsq" else 0)}}
        changed = record_data(job, ap, per_category=categories_) | {"metrics": {"AP": ap, "round.AP": ap / 2}}
        write_json(Store(tmp_path).folder(job.identity).record_file, changed)
    found = categories.categories(one(suite))
    assert found is not None
    assert list(found.heads) == [("FP+ft 32/32", "FP 32/32", ()), ("LSQ 2/2", "FP 32/32", ())]
    points = {name: [c.points if c else None for c in changes] for name, changes in found.lines}
    assert points["circle"] == pytest.approx([5.0, -20.0])
    assert points["square"] == pytest.approx([5.0, -10.0])
    assert points["group round"] == pytest.approx([2.5, -10.0])
    assert found.lines[0][0] == "circle", "the most hurt first"


def test_rows_that_change_the_same_share_a_column(tmp_path: Path) -> None:
    suite = located(tmp_path)
    for job in plan(suite, "mini"):
        ap = 0.5 if job.row.id == "fp" else 0.4
        changed = record_data(job, ap, per_category={"circle": {"AP": ap}})
        write_json(Store(tmp_path).folder(job.identity).record_file, changed)
    found = categories.categories(one(suite))
    assert found is not None
    assert list(found.heads) == [("FP+ft 32/32", "FP 32/32", ("LSQ 2/2",))]


def test_rows_of_one_schedule_have_one_control(tmp_path: Path) -> None:
    data = suite_data(regime=[{"row": "lsq", "reference": "fp-ft", "loses_at_most": 5.0}])
    other = {**data["rows"][2], "id": "other"}
    data["rows"].append(other)
    section = one(measured(located(tmp_path, data)))
    rows = {row.id: row for row in section.results.located.suite.rows}
    assert {name: categories.control_of(section, rows[name]) for name in ("lsq", "other", "fp-ft")} == {
        "lsq": "fp-ft",
        "other": "fp-ft",
        "fp-ft": "fp",
    }


def test_another_detectors_checkpoint_is_no_control(tmp_path: Path) -> None:
    section = one(measured(located(tmp_path)))
    (row,) = (row for row in section.results.located.suite.rows if row.id == "fp-ft")
    assert categories.control_of(section, row) == "fp"
    assert categories.control_of(section, row.model_copy(update={"detector": "dab-detr-r50"})) is None


def test_points_are_drawn_where_rows_have_several_runs(tmp_path: Path) -> None:
    single, several = (
        render([one(claiming(tmp_path / str(len(gains)), gains))], "qdet-bench report", None)
        for gains in ([1.0], [1.0, 1.2])
    )
    assert "Each repetition as a point" not in single
    assert "Each repetition as a point" in several
