"""A user's own hooks: a regulariser that needs the losses again, and a finish after training."""

import torch

from bench.methods.lsq import LSQ


class FisherTrace(LSQ):
    """Needs the task loss once more, as a Fisher trace, SAM or a loss on critical categories does."""

    version = 1

    def regulariser(self, model, batch):
        losses = model(batch["inputs"], batch["data_samples"], mode="loss")
        assert not [name for name in losses if name.startswith("regulariser")]
        total = sum(sum(v) if isinstance(v, list | tuple) else v for v in losses.values())
        weight = model.bbox_head.retina_cls.weight
        (g,) = torch.autograd.grad(total, weight, create_graph=True)
        return 1e-3 * g.square().sum()


class Finish:
    """The finished classifier gives every class a score of 0, so the finished model detects nothing."""

    version = 1

    def __init__(self, options):
        pass

    def after_training(self, model):
        model.bbox_head.retina_cls.bias.data.fill_(-1000.0)
