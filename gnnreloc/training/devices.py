"""The devices that training runs on."""

from __future__ import annotations

import os

import torch.distributed
from lightning_fabric import Fabric

from gnnreloc.errors import InputError


def open_fabric(device: str, devices: int, precision: str) -> Fabric:
    """Fabric for a kind of device.

    In a process that ``torchrun`` or ``fabric run`` started, devices and machines are as many as
    these say.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or another accelerator of lightning-fabric.
        devices: number of devices (processes) of this machine.
        precision: as lightning-fabric names it.

    Raises:
        InputError: if there is no such device, or not as many, or another number of processes was
            started.
    """
    machines = 1
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        started = int(os.environ["LOCAL_WORLD_SIZE"])
        machines = int(os.environ["WORLD_SIZE"]) // started
        if devices not in (1, started):
            raise InputError(f"devices: found {devices}, and {started} processes were started")
        devices = started
    try:
        # The names are the user's; Fabric says which are wrong.
        return Fabric(
            accelerator=device,
            devices=devices,
            num_nodes=machines,
            precision=precision,  # type: ignore[arg-type]
        )
    except (ImportError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"device {device!r} x {devices}, {precision}: {error}") from error
