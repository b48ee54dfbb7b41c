"""How predictions that were computed elsewhere are scored: the part of a protocol that is not about running a model."""

from typing import Any

from bench import versions
from bench.data.load import fingerprint
from bench.schema.load import Located
from bench.schema.protocol import dump
from bench.schema.suite import Tier


def scoring_protocol(located: Located, tier: Tier, pin: str | None = None) -> dict[str, Any]:
    """`data` with its pin, `metric` and `versions`, as in the protocol of each job of the suite at the tier.

    `pin` saves taking the data set's fingerprint where a job has it already. Raises BenchError for absent data.
    """
    spec = located.suite.tiers[tier]
    return {
        "data": {
            **dump(spec.data, "path"),
            "pin": pin or fingerprint(spec.data, located.root),
        },
        "metric": dump(spec.metric),
        "versions": versions.of_scoring([f"data:{spec.data.kind}", f"metric:{spec.metric.variant}"]),
    }
