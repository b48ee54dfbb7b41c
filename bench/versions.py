"""The versions of the rooms that compute results: parts of every job's identity.

Raise one when its room computes another number; a refactoring raises none.
"""

DATA = 1
DETECTORS = 1
ENGINE = 1
EVALUATION = 1
QUANTIZATION = 1


def of_rooms(quantized: bool) -> dict[str, int]:
    """What stands in a protocol; quantization only in that of a row with quantizers."""
    found = {"data": DATA, "detectors": DETECTORS, "engine": ENGINE, "evaluation": EVALUATION}
    return {**found, "quantization": QUANTIZATION} if quantized else found


def of_scoring() -> dict[str, int]:
    """Of predictions that were computed elsewhere."""
    return {"data": DATA, "evaluation": EVALUATION}
