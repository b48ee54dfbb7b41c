"""From sections to the one file: the templates, and what they are given."""

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from bench.report import answers
from bench.report.claim_words import WORDS, gain, metric_words, slug
from bench.report.html import (
    agreement,
    axis,
    categories,
    curves,
    facts,
    forest,
    pareto,
    pictures,
    provenance,
    rows,
)
from bench.report.notes import processor
from bench.report.sections import Section, grouped

TEMPLATES = Environment(
    loader=PackageLoader("bench.report.html"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["minus"] = axis.minus
TEMPLATES.globals["signed"] = axis.signed  # macros that are imported see nothing else


def render(sections: Sequence[Section], command: str, revision: str | None, images: str | None = None) -> str:
    """The page, with detections on these `images` (`bench.evaluation.choice`); it loads nothing from anywhere."""
    page = TEMPLATES.get_template("page.html.j2")
    return page.render(
        groups=grouped(sections),
        pareto=pareto.fields(sections),
        pictures=partial(pictures.pictures, images=images),
        units=pareto.UNITS,
        short=axis.short,
        command=command,
        revision=revision,
        words=WORDS,
        slug=slug,
        answer=answers.answer,
        standing=answers.standing,
        where=answers.where,
        examples=answers.examples,
        further=answers.further,
        subject=answers.subject,
        metric_words=metric_words,
        gain=gain,
        forests=forest.forests,
        rows=rows.rows,
        agreement=agreement.agreement,
        categories=categories.categories,
        training=curves.training,
        told=facts.told,
        runs_of=provenance.runs_of,
        processor=processor,
        environments=provenance.environments(sections),
        record_key=provenance.key,
        records=_packed(provenance.raw_records(sections)),
        style=_asset("style.css"),
        script=_asset("page.js"),
    )


def _asset(name: str) -> Markup:
    """A file of ours that stands in the page as it is."""
    loader = TEMPLATES.loader
    assert loader is not None
    return Markup(loader.get_source(TEMPLATES, name)[0])


def _packed(value: Any) -> str:
    """JSON, compressed as gzip, as base64: raw records repeat so much that they take a tenth of the room."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return b64encode(gzip.compress(text.encode(), mtime=0)).decode()
