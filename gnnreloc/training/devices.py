"""The devices that training runs on."""

from __future__ import annotations

from lightning_fabric import Fabric

from gnnreloc.errors import InputError


def open_fabric(device: str, devices: int, precision: str) -> Fabric:
    """Fabric for a kind of device.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or another accelerator of lightning-fabric.
        devices: number of devices (processes).
        precision: as lightning-fabric names it.

    Raises:
        InputError: if there is no such device, or not as many.
    """
    try:
        # The names are the user's; Fabric says which are wrong.
        return Fabric(accelerator=device, devices=devices, precision=precision)  # type: ignore[arg-type]
    except (ImportError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"device {device!r} x {devices}, {precision}: {error}") from error
