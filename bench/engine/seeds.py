"""One seed for all sources of random numbers that the libraries draw from."""

import random

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed Python, NumPy and PyTorch: mmdet's augmentation draws from the first two, models from the last."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
