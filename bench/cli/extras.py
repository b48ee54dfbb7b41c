"""What a command needs beyond the base installation, and the extra that brings it."""

from importlib.util import find_spec

from bench.errors import UsageError

EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "mmdet": "train",
    "mmengine": "train",
    "mmcv": "train",
    "matplotlib": "plots",
    "onnx": "onnx",
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "onnx2torch": "onnx",
}
"""By the name of a top module, the extra of pyproject.toml."""


def how_to_get(module: str | None) -> str | None:
    """One line for a module that is not installed; None for one that no extra brings."""
    name = (module or "").partition(".")[0]
    if name not in EXTRAS:
        return None
    return f"this command needs {name}, which is not installed; pip install 'qdet-bench[{EXTRAS[name]}]' brings it"


def require(module: str) -> None:
    """UsageError where a module that work of minutes will need is not installed: known before, not after."""
    if find_spec(module) is None:
        raise UsageError(how_to_get(module) or f"{module} is not installed")
