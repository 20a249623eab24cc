"""An L1 endpoint that misbehaves on demand.

    with run_proxy(anvil.url) as proxy:
        proxy.rules["eth_getLogs"] = lambda request: Refusal("range too wide")
        L1([proxy.url])

It stands before a real one and passes on what no rule refuses, drops or changes.
"""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Refusal:
    """Answer with a JSON-RPC error."""

    message: str


@dataclass(frozen=True)
class Answer:
    """Answer with this result instead."""

    result: Any


class Silence:
    """Close the connection without an answer, the request not passed on."""


class SilenceAfter:
    """Pass the request on, then close the connection without an answer."""


class Garbage:
    """Answer with something that is not JSON."""


Rule = Callable[[dict[str, Any]], Refusal | Answer | Silence | SilenceAfter | Garbage | None]
"""What to do with a request; None passes it on."""


@dataclass
class Proxy:
    """`rules` by method, "" for all; `seen` lists every method that came."""

    url: str
    rules: dict[str, Rule] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)


@contextmanager
def run_proxy(target: str) -> Iterator[Proxy]:
    """Serve on loopback for the length of a `with` block."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = json.loads(body)
            proxy.seen.append(request["method"])
            rule = proxy.rules.get(request["method"]) or proxy.rules.get("")
            action = rule(request) if rule else None
            if isinstance(action, Silence):
                self.close_connection = True
                return
            answer = self._answer(request, body, action)
            if isinstance(action, SilenceAfter):
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _answer(self, request: dict[str, Any], body: bytes, action: object) -> bytes:
            if isinstance(action, Garbage):
                return b"<html>come back later</html>"
            head = {"jsonrpc": "2.0", "id": request["id"]}
            if isinstance(action, Refusal):
                return json.dumps(head | {"error": {"code": -32000, "message": action.message}}).encode()
            if isinstance(action, Answer):
                return json.dumps(head | {"result": action.result}).encode()
            asked = urllib.request.Request(target, body, {"Content-Type": "application/json"})
            with opener.open(asked, timeout=30) as response:
                found: bytes = response.read()
            return found

        def log_message(self, *arguments: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
