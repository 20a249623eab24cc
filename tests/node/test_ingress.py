"""What waits for its signature to be verified hears of the end as everybody does, and of nothing else behind it."""

from pathlib import Path

import pytest
import trio
import trio.testing

from node.gateway import Answer, MethodError
from node.ingress import Ingress
from node.signature_process import run_signature_process
from sequencer.refusals import Refusal, Refused
from tests.node.test_sequencer_core import Desk

SECRET = b"\x07" * 32


async def test_at_the_end_everybody_is_told_once(tmp_path: Path, seed: int) -> None:
    """One group is being verified, another waits for that, and a last one comes too late: each is refused, once."""
    desk, woken = Desk(tmp_path, seed), trio.Event()
    ingress = Ingress(desk.core, waiting_max=100, account_requests_max=100, wake=woken.set)
    begin = ingress.submission.begin
    heard: list[Answer | MethodError] = []
    away, behind = desk.ask(), desk.ask()
    async with trio.open_nursery() as nursery:
        verifier = await nursery.start(run_signature_process, SECRET)
        for data in away:
            begin("a connection", [data], heard.append)
        nursery.start_soon(ingress.send_away, verifier)
        await trio.testing.wait_all_tasks_blocked()
        for data in behind:
            begin("a connection", [data], heard.append)
        ingress.close(Refused(Refusal.LOG_NOT_WRITTEN))
        await woken.wait()
        nursery.cancel_scope.cancel()
    codes = [answer.code for answer in heard if isinstance(answer, MethodError)]
    assert codes == [Refusal.LOG_NOT_WRITTEN] * len(away + behind)
    assert not ingress.is_ready
    with pytest.raises(MethodError) as late:
        begin("a connection", [away[0]], heard.append)
    assert late.value.code == Refusal.LOG_NOT_WRITTEN
    desk.store.close()
