"""The port: taken before anything slow begins, and given up without breaking off a client that was just let in."""

import ctypes
import socket
import struct
import sys
from collections.abc import Sequence

from app.settings import Settings
from models.errors import ConfigError

_SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h; Python's socket module does not name it
_DROP_NEW = (
    # Classic BPF over a TCP segment, struct sock_filter: (code, jump if true, jump if false, operand).
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone: the next; otherwise the one after
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # let through
)


def bind(settings: Settings) -> socket.socket:
    """Take the port.

    Raises:
        ConfigError: the port or the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"INTERMODAL_HOST (--host) {settings.host} with INTERMODAL_PORT (--port) {settings.port} cannot "
            f"be had: {error.strerror}. Choose another, or stop what uses it."
        ) from None
    return listener


def begin_no_more(listeners: Sequence[socket.socket]) -> bool:
    """Let nobody begin to connect, while those who have begun still can be accepted.

    Closing a listening socket resets the connections that wait in its queue: for their clients, what they have
    sent is lost. So its growth is stopped first, in the kernel. A client whose first packet is dropped sends it
    again by itself after a second, finds the port closed, and knows that nothing of its request was sent.

    Returns:
        Whether it worked: on Linux it does.
    """
    if sys.platform != "linux":
        return False
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _DROP_NEW))
    option = struct.pack("HP", len(_DROP_NEW), ctypes.addressof(program))
    try:
        for listener in listeners:
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
    except OSError:
        return False
    return True
