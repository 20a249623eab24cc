"""An L1 endpoint that misbehaves on demand.

    with run_proxy(anvil.url) as proxy:
        proxy.rules["eth_getLogs"] = lambda request: Refusal("range too wide")
        L1([proxy.url])

It stands before a real one and passes on what no rule refuses, drops or changes. `lie`, `lag`, `limit` and `prune` are
rules for what endpoints really do.
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


@dataclass(frozen=True)
class Instead:
    """Pass on the request with these parameters."""

    params: list[Any]


Rule = Callable[[dict[str, Any]], Refusal | Answer | Instead | Silence | SilenceAfter | Garbage | None]
"""What to do with a request; None passes it on."""


@dataclass
class Proxy:
    """`rules` by method, "" for all; `seen` lists every method that came; `ask` gives the true result."""

    url: str
    ask: Callable[..., Any]
    rules: dict[str, Rule] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)


@contextmanager
def run_proxy(target: str) -> Iterator[Proxy]:
    """Serve on loopback for the length of a `with` block."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def pass_on(body: bytes) -> bytes:
        asked = urllib.request.Request(target, body, {"Content-Type": "application/json"})
        with opener.open(asked, timeout=30) as response:
            found: bytes = response.read()
        return found

    def ask(method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return json.loads(pass_on(json.dumps(request).encode()))["result"]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together: the second of two packets would wait for the first's receipt

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
            if isinstance(action, Instead):
                body = json.dumps(request | {"params": action.params}).encode()
            return pass_on(body)

        def log_message(self, *arguments: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}", ask)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# What endpoints really do


def lie(proxy: Proxy, method: str, change: Callable[[Any], Any]) -> None:
    """Answer with something else than the truth."""
    proxy.rules[method] = lambda request: Answer(change(proxy.ask(method, *request["params"])))


def lag(proxy: Proxy, blocks: int) -> None:
    """Be so many blocks behind: every tag names an older block, and newer ones are unknown."""

    def read_head() -> int:
        return max(int(proxy.ask("eth_blockNumber"), 16) - blocks, 0)

    def age(request: dict[str, Any]) -> Answer | Refusal | Instead:
        params, place = list(request["params"]), _BLOCK_PLACES[request["method"]]
        head = read_head()
        if params[place] in ("latest", "pending"):
            params[place] = hex(head)
        elif params[place] in ("finalized", "safe"):
            block = proxy.ask("eth_getBlockByNumber", params[place], False)
            params[place] = hex(max(int(block["number"], 16) - blocks, 0))
        elif int(params[place], 16) > head:
            is_block = request["method"] == "eth_getBlockByNumber"
            return Answer(None) if is_block else Refusal("header not found")
        return Instead(params)

    def age_logs(request: dict[str, Any]) -> Refusal | None:
        return Refusal("unknown block") if int(request["params"][0]["toBlock"], 16) > read_head() else None

    def age_found(request: dict[str, Any]) -> Answer:
        found = proxy.ask(request["method"], *request["params"])
        return Answer(None if found and found["blockNumber"] and int(found["blockNumber"], 16) > read_head() else found)

    proxy.rules.update(dict.fromkeys(_BLOCK_PLACES, age))
    proxy.rules["eth_getLogs"] = age_logs
    proxy.rules["eth_getTransactionReceipt"] = proxy.rules["eth_getTransactionByHash"] = age_found


_BLOCK_PLACES = {
    "eth_getBlockByNumber": 0,
    "eth_getTransactionCount": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_call": 1,
}
"""Where each method has its block."""


def limit(proxy: Proxy, *, blocks: int = 1 << 62, logs: int = 1 << 62) -> None:
    """Refuse a range of more blocks, or with more logs in it, in the words of a provider."""

    def refuse(request: dict[str, Any]) -> Refusal | None:
        wanted = request["params"][0]
        if int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) >= blocks:
            return Refusal(f"You can make eth_getLogs requests with up to a {blocks} block range")
        if len(proxy.ask("eth_getLogs", wanted)) > logs:
            return Refusal(f"query returned more than {logs} results")
        return None

    proxy.rules["eth_getLogs"] = refuse


def prune(proxy: Proxy, below: int, *, is_told: bool) -> None:
    """Forget logs, transactions and states of blocks below one. Without `is_told`, logs are just not there."""

    def forget_logs(request: dict[str, Any]) -> Answer | Refusal | None:
        wanted = request["params"][0]
        if int(wanted["fromBlock"], 16) >= below:
            return None
        if is_told:
            return Refusal("history has been pruned for this block")
        return Answer([log for log in proxy.ask("eth_getLogs", wanted) if int(log["blockNumber"], 16) >= below])

    def forget_transaction(request: dict[str, Any]) -> Answer:
        found = proxy.ask(request["method"], *request["params"])
        return Answer(None if found and found["blockNumber"] and int(found["blockNumber"], 16) < below else found)

    def forget_state(request: dict[str, Any]) -> Refusal | None:
        block = request["params"][1]
        return Refusal("missing trie node") if block.startswith("0x") and int(block, 16) < below else None

    proxy.rules["eth_getLogs"] = forget_logs
    proxy.rules["eth_getTransactionReceipt"] = proxy.rules["eth_getTransactionByHash"] = forget_transaction
    proxy.rules.update(dict.fromkeys(("eth_getCode", "eth_call", "eth_getBalance"), forget_state))
