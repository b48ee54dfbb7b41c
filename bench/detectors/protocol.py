"""What a family of detectors is: one class that changes mmdet's configuration of a model."""

from typing import Any, Protocol

from bench.schema.detector import DetectorScale


class DetectorFamily(Protocol):
    """A family of detectors; a user's own class is named `package.module:Class` where a suite names a detector.

    The model that its configuration builds is one of mmdet's, or of the user's registered with mmdet: `mode="loss"`,
    `"predict"` and `"tensor"` are called. A user's class states two more facts:

    * `version`: part of every job's identity; raise it when the detector computes something else;
    * `config`: mmdet's configuration file, a path below its `configs/`, or a file beside the class's own.
    """

    def configure(self, model: Any, scale: DetectorScale, classes: int) -> None:
        """Change the configuration `model` (an mmengine ConfigDict) in place.

        It must take over everything that the suite may declare in `scale` (size, test, widths ...), set the number of
        classes, and leave nothing to be loaded (`init_cfg=None`) or frozen: checkpoints are loaded by hash, and
        freezing is the recipe's. Raises BenchError for a scale that it cannot have.
        """
