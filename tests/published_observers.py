"""The observers with their publications' numbers, for comparisons; a suite declares its own."""

from torch import Tensor

from bench.calibration.observers import StepObserver
from bench.quantization.ranges import Unsigned
from bench.schema.options.observer import Observer

PUBLISHED = {
    "minmax": Observer(kind="minmax"),
    "ema_minmax": Observer(kind="ema_minmax", ema=0.9),
    "mse": Observer(kind="mse", p=2.0),
    "mse24": Observer(kind="mse", p=2.4),
    "ema_mse": Observer(kind="ema_mse", p=2.0, ema=0.9),
    "lsq": Observer(kind="lsq"),
    "percentile": Observer(kind="percentile", q=99.999),
    "3sigma": Observer(kind="std", stds=3.0),
    "pot_mode_weight": Observer(kind="pot_mode", rounding="weight", exponents=5),
    "pot_mode_activation": Observer(kind="pot_mode", rounding="activation", exponents=5),
    "pot_mode_image": Observer(kind="pot_mode", rounding="activation", exponents=1),
}


def scale(x: Tensor, name: str, qmin: int, qmax: int, signed: bool, unsigned: Unsigned = "hqod") -> Tensor:
    """The step size, a tensor of no dimension, that the observer PUBLISHED[name] proposes for one tensor `x`.

    Raises KeyError for another name.
    """
    observer = StepObserver(PUBLISHED[name], qmin, qmax, signed, unsigned)
    observer.observe(x)
    return observer.step()
