"""What a method may do: one class with the hooks that it needs. Nothing else in `bench/` has to know it."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.detectors.positives import Positives
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement


class Method(Protocol):
    """One class a method. It is made with the row's options: a built-in's options model, for a user's class a dict
    of her own that she may change.

    `version` is part of a job's identity: raise it when the method computes another number.
    The hooks run in the order in which they stand here. A class that changes what another one quantized says
    `needs_quantizers = True`: in a row it must stand behind the method that makes quantizers.
    `repeats = True`, in the class itself and not in its base, says that the model does at each training step the same
    operations, whatever their values: then a GPU may record them once (`bench.engine.recorded`).
    """

    version: int

    def __init__(self, options: Any) -> None: ...

    def adapt_model(self, model: nn.Module) -> None:
        """Change the FP model in place, its checkpoint loaded, before anything is quantized.

        Also called on a model of arbitrary weights, before a row that starts from this one loads this one's
        checkpoint: which modules and parameters it adds or removes must not depend on the values of weights.
        """

    def prepare(self, model: nn.Module, batches: Batches) -> None:
        """Change the values of the FP model's weights, not its modules or parameters, before quantizers are placed;
        only in rows with quantizers."""

    def allocate(self, model: nn.Module, placement: Placement, batches: Batches) -> Mapping[str, int]:
        """Bits of sites by their names, in place of the row's; sites that are not named keep theirs.

        Called before quantizers are made; `batches` have targets, so that losses and gradients can be had.
        """
        raise NotImplementedError

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """One quantizer for each site of the placement; at most one method of a row has this hook."""
        raise NotImplementedError

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Initialise the quantizers. `batches` can be walked more than once; `batch()` runs the model up to its raw
        outputs, `batch("loss")` gives its training losses, `batch.samples` hold the targets."""

    def regulariser(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        """A scalar that is added to the training loss of `batch`: `inputs` [n, 3, h, w], `data_samples`, and
        `progress`, the share of the training that lies behind (0 at the first step, always below 1).

        It may run the model again, also for its losses: these are then the detector's own, without regularisers.
        """
        raise NotImplementedError

    def reshape_losses(self, positives: Positives) -> tuple[Tensor, Tensor]:
        """The classification and the box loss of each positive sample, [P] both, in place of its `cls` and `reg`.

        Both are summed over the samples and divided by the head's own normalisers. Methods of a row reshape one after
        the other, each what the one before it left. Detectors with a dense head have the hook.
        """
        raise NotImplementedError

    def after_training(self, model: nn.Module) -> None:
        """Change the trained model in place, before it predicts. Where a recipe scores a model during its training, a
        copy is finished so and scored."""

    def facts(self, model: nn.Module) -> Mapping[str, Any]:
        """What the method chose (bits, exponents, losses ...), for the record: JSON values by name, all finite."""
        raise NotImplementedError
