"""The processes that train one job together, under torchrun; alone without it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from bench.errors import BenchError
from bench.processes import World, world


@contextmanager
def joined(identity: str) -> Iterator[World]:
    """Join the other processes for one job; the leader leaves first, so that its record is there when all have left.

    torchrun keeps one store for all jobs of a command: each job has its own keys in it.
    """
    here = world()
    if here.size == 1:
        yield here
        return
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except (KeyError, ValueError):
        raise BenchError(
            "WORLD_SIZE is set, but MASTER_ADDR and MASTER_PORT are not: start the command by torchrun"
        ) from None
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", here.rank)))
    store = distributed.TCPStore(  # type: ignore[attr-defined]
        host, port, here.size, is_master=here.leads and not agent
    )
    own = distributed.PrefixStore(identity, store)  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=own, rank=here.rank, world_size=here.size)
    try:
        yield here
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def mean(value: float) -> float:
    """The mean of a number over the processes; the number itself where there is one."""
    if not distributed.is_initialized():
        return value
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    total = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return float(total) / distributed.get_world_size()


def device() -> str:
    """What the job computes on, as the environment key has it."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
