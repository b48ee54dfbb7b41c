"""How predictions that were computed elsewhere are scored: the part of a protocol that is not about running a model."""

from typing import Any, NamedTuple

from bench import versions
from bench.data.load import fingerprint
from bench.schema.data import DataSpec
from bench.schema.load import Located
from bench.schema.protocol import dump, pinned
from bench.schema.suite import Metric, Tier


class ScoringProtocol(NamedTuple):
    """`data` with its pin, `metric` and `versions`, as in the protocol of each job of the suite at the tier."""

    data: DataSpec
    pin: str
    metric: Metric
    versions: dict[str, int]

    def raw(self, predictions: str) -> dict[str, Any]:
        """What an external record keeps and its identity is taken over; with the digest of the predictions."""
        return {
            "data": self.raw_data(),
            "metric": dump(self.metric),
            "versions": self.versions,
            "predictions": predictions,
            "boxes": "as submitted",  # earlier records had theirs rounded to 1/16 px
        }

    def raw_data(self) -> dict[str, Any]:
        """The data that are scored, as the protocol of a job has them."""
        return pinned(self.data, self.pin)


def scoring_protocol(located: Located, tier: Tier, pin: str | None = None) -> ScoringProtocol:
    """Of the suite at the tier, as it is now.

    `pin` saves taking the data set's fingerprint where a job has it already. Raises BenchError for absent data.
    """
    spec = located.suite.tiers[tier]
    return ScoringProtocol(
        spec.data,
        pin or fingerprint(spec.data, located.root),
        spec.metric,
        versions.of_scoring([f"data:{spec.data.kind}", f"metric:{spec.metric.variant}"]),
    )
