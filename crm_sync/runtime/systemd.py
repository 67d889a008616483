"""Telling systemd how we are: sd_notify(3), one datagram a message; nothing happens without it."""

import os
import socket
from contextlib import suppress


def notify(**state: str) -> None:
    """Sends `READY="1"`, `STATUS="…"`, `STOPPING="1"` or `WATCHDOG="1"` to the service manager."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    text = "\n".join(f"{name}={_line(value)}" for name, value in state.items())
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(text.encode(), address)


def _line(value: str) -> str:
    return " ".join(value.split())
