"""How a process talks to a worker of its own over a socket: `length u32 || body`, answers in the order of questions."""

import socket
from collections.abc import Callable

LENGTH_BYTES = 4


def encode_message(body: bytes) -> bytes:
    """As it goes over the socket."""
    return len(body).to_bytes(LENGTH_BYTES) + body


def read_message(stream: socket.socket) -> bytes | None:
    """The next body; None at the end."""
    head = stream.recv(LENGTH_BYTES, socket.MSG_WAITALL)
    if len(head) < LENGTH_BYTES:
        return None
    length = int.from_bytes(head)
    body = stream.recv(length, socket.MSG_WAITALL)
    return body if len(body) == length else None


def answer_all(stream: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    """Answer body after body, until the other end is gone."""
    while (body := read_message(stream)) is not None:
        try:
            stream.sendall(encode_message(answer(body)))
        except ConnectionError:
            return
