"""Published numbers as data: `baselines/published/<file>.yaml`.

A table has one source, one metric variant and one trust mark; numbers that differ in one of them are
another table.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.schema.base import Spec, Text
from bench.schema.bits import Bits
from bench.schema.forms import SLUG

PublishedId = Annotated[str, Field(pattern=SLUG, max_length=80)]
"""Longer than a suite's own names: it repeats what a source calls a model."""
TableId = Annotated[str, Field(pattern=r"^T(-[A-Za-z0-9]+)+$")]
HexPrefix = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]

Variant = Literal["coco", "voc07", "voc12", "voc", "unstated"]
"""`voc`: a VOC metric, 11-point or area not stated; `unstated`: the source names no metric at all."""
UNKNOWN_METRIC: frozenset[Variant] = frozenset({"voc", "unstated"})
Trust = Literal["paper", "abstract", "readme", "code", "2nd", "3rd", "issue", "calc"]
"""Where a number was read; what each mark means stands in `baselines/published/README.md`."""
GATING: frozenset[Trust] = frozenset({"paper", "abstract", "readme"})
"""Marks on which a verdict may rest."""
Quantity = Literal["AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "AP_segm", "PQ", "AP_critical", "mAP", "NDS"]
"""`AP_critical`: AP over critical categories; `mAP`: a mean AP of unstated definition; `NDS`: nuScenes' score."""
Percent = Annotated[float, Field(ge=0, le=100)]


class Source(Spec):
    """Where a table was published, and where in it the numbers stand."""

    paper: Text
    where: Text
    """Table, page, file or sentence."""
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{5}$")] | None = None
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    """Owner and name on GitHub."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{8,40}$")] | None = None


class Checkpoint(Spec):
    """The published weights behind a row."""

    url: Annotated[str, Field(pattern=r"^https://\S+$")] | None = None
    file: Text | None = None
    sha256_prefix: HexPrefix | None = None
    """First 8 hex digits of the file's sha256."""
    suffix: HexPrefix | None = None
    """Hex digits at the end of the file's name, of unstated meaning."""
    size: Text | None = None
    """As printed."""


class PublishedRow(Spec):
    """One published result, in percent as printed."""

    id: PublishedId
    kind: Literal["value", "gain"] = "value"
    """`gain`: a difference in points against a baseline that the note names."""
    model: Text
    dataset: Text
    method: Text
    bits: Bits
    setting: Text | None = None
    """What sets the row apart beside model, method and bits, in the source's words."""
    metrics: dict[Quantity, Percent] = Field(min_length=1)
    gate: bool
    """Whether a verdict may rest on this row."""
    doubtful: Text | None = None
    """Why the row may be wrong as transcribed or as printed; such a row never gates."""
    unknown: Text | None = None
    """What the source leaves open and a result hangs on, such as the placement; such a row never gates."""
    note: Text | None = None
    checkpoint: Checkpoint | None = None

    @model_validator(mode="after")
    def _doubt_never_gates(self) -> "PublishedRow":
        if self.gate and self.doubtful is not None:
            raise ValueError(f"row {self.id!r} is doubtful: it must have gate: false")
        if self.gate and self.unknown is not None:
            raise ValueError(f"row {self.id!r} leaves {self.unknown} open: it must have gate: false")
        return self


class PublishedTable(Spec):
    """One table of a publication; `id` is its stable name."""

    id: TableId
    title: Text
    source: Source
    metric: Variant
    trust: Trust
    information: Text | None = None
    """Why its numbers are information whatever their mark: no row gates."""
    note: Text | None = None
    selection: Literal["best", "last"] | None = None
    """Which evaluation of a training the numbers are of: the best on the evaluation set, or the last."""
    rows: tuple[PublishedRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "PublishedTable":
        _refuse_repeats("row", [row.id for row in self.rows])
        gating = [f"row {row.id!r} of {self.id} must have gate: false" for row in self.rows if row.gate]
        if gating and self.trust not in GATING:
            raise ValueError(f"{gating[0]}: its trust is {self.trust!r}")
        if gating and self.information is not None:
            raise ValueError(f"{gating[0]}: its table is information")
        if gating and self.metric in UNKNOWN_METRIC:
            raise ValueError(f"{gating[0]}: its metric is {self.metric!r}")
        return self

    def row(self, row_id: str) -> PublishedRow:
        """The row of that id; KeyError where there is none."""
        return {row.id: row for row in self.rows}[row_id]


class PublishedFile(Spec):
    """All tables of one source."""

    tables: tuple[PublishedTable, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> "PublishedFile":
        _refuse_repeats("table", [table.id for table in self.tables])
        return self

    def table(self, table_id: str) -> PublishedTable:
        """The table of that id; KeyError where there is none."""
        return {table.id: table for table in self.tables}[table_id]


def _refuse_repeats(what: str, ids: list[str]) -> None:
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        raise ValueError(f"{what} id {repeated[0]!r} is used more than once")
