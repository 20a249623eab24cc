"""The people's side of the gateway's bench, a process of its own: sends signed requests, and takes the time of answers.

    python -m tests.bench.load_client PORT REQUESTS RATE

REQUESTS is a file of frames as tests/bench/bench_gateway.py writes it. RATE is requests a second, each sent when it is
due whether or not others are answered; at 0 as many are kept in flight as the connections may. Prints one line of JSON.
"""

import json
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgpack  # type: ignore[import-untyped]

from node.framing import FrameReader, encode_frame

CONNECTIONS = 16
IN_FLIGHT = 48
ANSWER_SECONDS_MAX = 30


class Connection:
    """A socket, what waits to be sent on it, and the moment at which each request was due."""

    def __init__(self, port: int) -> None:
        self.stream = socket.create_connection(("127.0.0.1", port))
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.setblocking(False)
        self.reader = FrameReader()
        self.outgoing = bytearray()
        self.due: dict[int, float] = {}

    def flush(self) -> None:
        """Send what the socket takes."""
        while self.outgoing:
            try:
                sent = self.stream.send(self.outgoing)
            except BlockingIOError:
                return
            del self.outgoing[:sent]

    def receive(self) -> Iterator[tuple[float, int, object]]:
        """(seconds since due, code, result) of every answer that is there."""
        data = self.stream.recv(1 << 18)
        assert data, "the gateway closed the connection"
        now = time.perf_counter()
        for body in self.reader.feed(data):
            number, code, result = msgpack.unpackb(body)
            yield now - self.due.pop(number), code, result


def run(port: int, requests: list[tuple[int, bytes]], rate: float) -> dict[str, object]:
    """Send everything; what came of it."""
    selector = selectors.DefaultSelector()
    connections = [Connection(port) for _ in range(CONNECTIONS)]
    for connection in connections:
        selector.register(connection.stream, selectors.EVENT_READ, connection)
    lines: list[list[tuple[int, bytes]]] = [[] for _ in connections]
    for number, (account, data) in enumerate(requests):
        # One account, one connection: its requests stay in order.
        lines[account % CONNECTIONS].append((number, encode_frame([number + 1, "submit", data])))
    turn = sorted((number, index) for index, line in enumerate(lines) for number, _ in line)
    lefts = [iter(line) for line in lines]
    latencies: list[float] = []
    codes: Counter[int] = Counter()
    filled, sent, began = 0, 0, time.perf_counter()
    last = began
    while len(latencies) < len(requests):
        now = time.perf_counter()
        assert now - last < ANSWER_SECONDS_MAX, "no answer for long"
        if rate:
            while sent < len(turn) and began + sent / rate <= now:
                connection = connections[turn[sent][1]]
                number, frame = next(lefts[turn[sent][1]])
                connection.due[number + 1] = began + sent / rate
                connection.outgoing += frame
                sent += 1
        else:
            for connection, left in zip(connections, lefts, strict=True):
                while len(connection.due) < IN_FLIGHT and (item := next(left, None)) is not None:
                    connection.due[item[0] + 1] = now
                    connection.outgoing += item[1]
        for connection in connections:
            connection.flush()
        for key, _ in selector.select(0.001 if rate else 0.01):
            for latency, code, result in key.data.receive():
                latencies.append(latency)
                codes[code] += 1
                filled += code == 0 and result[1] > 0  # type: ignore[index]
                last = time.perf_counter()
    latencies.sort()
    return {
        "seconds": last - began,
        "codes": dict(codes),
        "filled": filled,
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[len(latencies) * 99 // 100],
    }


def read_requests(path: Path) -> list[tuple[int, bytes]]:
    """(account, request) in order."""
    return [(account, data) for account, data in msgpack.unpackb(path.read_bytes())]


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), read_requests(Path(sys.argv[2])), float(sys.argv[3]))))
