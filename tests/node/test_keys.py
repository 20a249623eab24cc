"""Key files are private, whole and never overwritten; what they sign verifies."""

import json
import os
import stat
from pathlib import Path

import pytest

from node.errors import ConfigError, KeyFileError
from node.keys import (
    Ed25519Key,
    Secp256k1Key,
    create_key,
    format_address,
    load_ethereum_key,
    load_session_key,
    parse_address,
)
from state.signatures import SECP256K1_ORDER, is_ed25519_valid, recover_signer

DIGEST = bytes(range(32))


def test_keys_come_back_as_they_were_made(tmp_path: Path) -> None:
    """Both kinds, in folders that did not exist, with mode 0600."""
    made = create_key(tmp_path / "new" / "l1.json", Secp256k1Key)
    session = create_key(tmp_path / "new" / "session.json", Ed25519Key)

    assert load_ethereum_key(tmp_path / "new" / "l1.json") == made
    assert load_session_key(tmp_path / "new" / "session.json") == session
    for path in (tmp_path / "new").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_signatures_verify() -> None:
    """By the very functions that the chain uses."""
    ethereum, session = Secp256k1Key(bytes([3]) * 32), Ed25519Key(bytes([4]) * 32)
    signed = ethereum.sign(DIGEST)

    assert recover_signer(DIGEST, signed[:32], signed[32:64], signed[64]) == ethereum.address
    assert is_ed25519_valid(session.public_key, DIGEST, session.sign(DIGEST))


def test_a_secret_is_not_printed() -> None:
    """Not in a traceback, not in a log."""
    for key in (Secp256k1Key(bytes([3]) * 32), Ed25519Key(bytes([3]) * 32)):
        assert "03" * 4 not in repr(key)
        assert "\\x03" not in repr(key)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Whatever stands there stays."""
    path = tmp_path / "key.json"
    create_key(path, Secp256k1Key)
    text = path.read_text()
    with pytest.raises(KeyFileError, match="never overwritten"):
        create_key(path, Secp256k1Key)
    assert path.read_text() == text
    with pytest.raises(KeyFileError, match="cannot write the key file"):
        create_key(path / "below", Secp256k1Key)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The error says how to close it."""
    path = tmp_path / "key.json"
    create_key(path, Ed25519Key)
    os.chmod(path, 0o640)
    with pytest.raises(KeyFileError, match=r"mode 0640\): run `chmod 600"):
        load_session_key(path)


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    """Missing, torn, of another kind, with a secret that is none: each has its sentence."""
    path = tmp_path / "key.json"
    with pytest.raises(KeyFileError, match="keel wallet new"):
        load_session_key(path)
    too_large = {"kind": "secp256k1", "secret": f"{SECP256K1_ORDER:064x}"}
    for stored, complaint in [
        ("{", "is not a key file"),
        ("[]", "holds a key of kind None"),
        (json.dumps({"kind": "ed25519", "secret": "00" * 32}), "kind 'ed25519'; here one of kind 'secp256k1'"),
        (json.dumps({"kind": "secp256k1", "secret": "00"}), "64 hexadecimal digits"),
        (json.dumps({"kind": "secp256k1", "secret": 7}), "64 hexadecimal digits"),
        (json.dumps(too_large), "not in the range of secp256k1"),
    ]:
        path.write_text(stored)
        path.chmod(0o600)
        with pytest.raises(KeyFileError, match=complaint):
            load_ethereum_key(path)


def test_addresses_check_their_letters() -> None:
    """Mixed case must be EIP-55's; one case alone says nothing and passes."""
    text = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    address = bytes.fromhex(text[2:])

    assert format_address(address) == text
    assert parse_address(text) == parse_address(text.lower()) == parse_address("0x" + text[2:].upper()) == address
    for wrong in (text.replace("aA", "AA"), text[:-1], text[2:], "0x" + "g" * 40, ""):
        with pytest.raises(ConfigError, match="--to"):
            parse_address(wrong, "--to")
