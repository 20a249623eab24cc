"""A holder's receipts against L1: an honest sequencer's stand, a broken word is found and costs the bond."""

from dataclasses import replace
from pathlib import Path

import pytest
from coincurve import PrivateKey

from fraud_proofs.contradictions import ContradictionKind
from node.cli import main
from node.errors import ConfigError
from node.receipt_check import find_contradictions, format_receipt, read_receipts
from node.rollup import ETH
from sequencer.requests import build_request
from state.operations import Withdraw, hash_digest
from state.receipts import SignedReceipt
from tests.fraud_proofs.broken_word import bend_batch, leave_out
from tests.node.clerk import SESSION, Clerk
from tests.node.town import ETHER_ASSET, TERMS, Town


def withdraw(town: Town, clerk: Clerk, receipts: Path, sequence: int) -> SignedReceipt:
    """Withdraw a little; the receipt is appended to the file."""
    bare = Withdraw(0, 1, sequence, ETHER_ASSET, 10**6, 0, bytes(64))
    request = build_request(replace(bare, signature=SESSION.sign(hash_digest(town.rollup.get_domain(), bare))))
    receipt = clerk.acknowledge(request)
    with open(receipts, "a") as file:
        print(format_receipt(receipt, request), file=file)
    return receipt


def test_a_broken_word_is_found_and_slashed(
    town: Town, clerk: Clerk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Receipts of what was posted stand. Of a withdrawal left out, one command finds it, and takes half the bond."""
    receipts, bob = tmp_path / "receipts", town.get_key("bob")
    command = ["wallet", "check-receipts", str(receipts), "--l1", town.anvil.url, "--rollup", town.deployment.rollup]
    command += ["--key", str(town.folder / "bob.json")]
    withdraw(town, clerk, receipts, 1)
    clerk.post()
    assert main(command) == 0
    assert capsys.readouterr().out == "1 receipts, 0 contradicted\n"

    withdraw(town, clerk, receipts, 2)
    forgotten = withdraw(town, clerk, receipts, 3)
    kept = read_receipts(receipts, town.rollup.get_domain())
    assert find_contradictions(town.rollup, kept) == [], "what is not posted yet contradicts nothing"
    clerk.post(bend_batch(clerk.seal(), leave_out(kept[2].held)))

    (found,) = find_contradictions(town.rollup, kept)
    assert (found.kept.held.data, found.proof[0]) == (forgotten.encode(), ContradictionKind.MISSING)
    before = town.l1.get_balance(bob.address)
    assert main([*command, "--dry-run"]) == 1
    assert town.l1.get_balance(bob.address) == before
    assert main(command) == 1
    assert "3 receipts, 1 contradicted\nslashed 0x" in capsys.readouterr().out
    assert town.l1.get_balance(bob.address) > before + TERMS.bond // 2 - TERMS.bond // 100
    assert town.rollup.view("bond_of", clerk.sender.address) == 0
    assert town.rollup.view("balance_of", ETH, bob.address) == 0
    assert main(command) == 0, "where no bond is left nothing is found"


def test_two_words_for_one_position_are_found(town: Town, clerk: Clerk, tmp_path: Path) -> None:
    """No batch is needed: the two receipts are the proof."""
    receipts, key = tmp_path / "receipts", PrivateKey(town.get_key("clerk").secret)
    receipt = withdraw(town, clerk, receipts, 1)
    request = bytes.fromhex(receipts.read_text().split()[1])
    body = replace(receipt.body, log_hash=bytes(32))
    signed = key.sign_recoverable(body.hash_signing(town.rollup.get_domain()), hasher=None)
    other = SignedReceipt(body, signed[:64] + bytes([signed[64] + 27]))
    with open(receipts, "a") as file:
        print(format_receipt(other, request), file=file)

    (found,) = find_contradictions(town.rollup, read_receipts(receipts, town.rollup.get_domain()))

    assert found.proof[0] == ContradictionKind.TWO_RECEIPTS


def test_a_line_that_is_no_receipt_is_named(town: Town, clerk: Clerk, tmp_path: Path) -> None:
    """Of another request, cut short, or no hexadecimal digits: the line is named."""
    receipts = tmp_path / "receipts"
    withdraw(town, clerk, receipts, 1)
    withdraw(town, clerk, receipts, 2)
    first, second = receipts.read_text().splitlines()
    mixed = f"{first.split()[0]} {second.split()[1]}"
    for bad in (mixed, first[:-2], first.split()[0], "receipt"):
        receipts.write_text(f"{first}\n{bad}\n{second}\n")
        with pytest.raises(ConfigError, match="line 2: no receipt of this rollup"):
            read_receipts(receipts, town.rollup.get_domain())
    with pytest.raises(ConfigError, match="cannot read receipts"):
        read_receipts(tmp_path / "nothing", town.rollup.get_domain())
