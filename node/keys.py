"""Keys and their files: secp256k1 for the L1 and for receipts, Ed25519 for sessions.

A key file is JSON, `{"kind", "secret", "address" or "public_key"}`, with mode 0600; one that others can read is
refused, since its secret may no longer be one.
"""

import json
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from coincurve import PrivateKey
from eth_hash.auto import keccak
from nacl.signing import SigningKey

from node.errors import ConfigError, KeyFileError


@dataclass(frozen=True, slots=True)
class Secp256k1Key:
    """An Ethereum key: it pays on L1 and signs readings and receipts."""

    kind: ClassVar[str] = "secp256k1"
    secret: bytes = field(repr=False)

    @property
    def address(self) -> bytes:
        """20 bytes."""
        public_key = PrivateKey(self.secret).public_key.format(compressed=False)
        return keccak(public_key[1:])[12:]

    @property
    def public_text(self) -> dict[str, str]:
        """What a key file says beside the secret."""
        return {"address": format_address(self.address)}

    def sign(self, digest: bytes) -> bytes:
        """`r || s || v` over a 32-byte digest; v is 27 or 28, s at most half the order."""
        signed = PrivateKey(self.secret).sign_recoverable(digest, hasher=None)
        return signed[:64] + bytes([signed[64] + 27])


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """A session key: it signs orders, cancels, transfers and withdrawals."""

    kind: ClassVar[str] = "ed25519"
    secret: bytes = field(repr=False)

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return bytes(SigningKey(self.secret).verify_key)

    @property
    def public_text(self) -> dict[str, str]:
        """What a key file says beside the secret."""
        return {"public_key": self.public_key.hex()}

    def sign(self, digest: bytes) -> bytes:
        """64 bytes over a 32-byte digest."""
        return SigningKey(self.secret).sign(digest).signature


Key = Secp256k1Key | Ed25519Key


def create_key(path: Path, kind: type[Key]) -> Key:
    """Draw a key and write its file, with its folder. Raises KeyFileError; never overwrites."""
    key = kind(_draw_secret(kind))
    text = json.dumps({"kind": kind.kind, "secret": key.secret.hex()} | key.public_text, indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError(f"cannot write the key file {path}: {error.strerror}") from error
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyFileError(f"{path} exists: a key is never overwritten; name another file, or move this one") from error
    except OSError as error:
        raise KeyFileError(f"cannot write the key file {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return key


def load_ethereum_key(path: Path) -> Secp256k1Key:
    """From a key file. Raises KeyFileError."""
    secret = _load_secret(path, Secp256k1Key)
    try:
        PrivateKey(secret)
    except ValueError as error:
        raise KeyFileError(f"{path}: the secret is not in the range of secp256k1; make a new key") from error
    return Secp256k1Key(secret)


def load_session_key(path: Path) -> Ed25519Key:
    """From a key file. Raises KeyFileError."""
    return Ed25519Key(_load_secret(path, Ed25519Key))


def _draw_secret(kind: type[Key]) -> bytes:
    if kind is Secp256k1Key:
        return PrivateKey().secret
    return secrets.token_bytes(32)


def _load_secret(path: Path, kind: type[Key]) -> bytes:
    try:
        with open(path) as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyFileError(f"{path} is open to other users (mode {mode:04o}): run `chmod 600 {path}`")
            stored = json.load(file)
    except FileNotFoundError as error:
        raise KeyFileError(f"no key file {path}: make one with `keel wallet new {path}`") from error
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error.strerror}") from error
    except ValueError as error:
        raise KeyFileError(f"{path} is not a key file: JSON with kind and secret is expected") from error
    found = stored.get("kind") if isinstance(stored, dict) else None
    if found != kind.kind:
        raise KeyFileError(f"{path} holds a key of kind {found!r}; here one of kind {kind.kind!r} is needed")
    secret = stored.get("secret")
    if not isinstance(secret, str) or not re.fullmatch("[0-9a-f]{64}", secret):
        raise KeyFileError(f"{path}: secret must be 64 hexadecimal digits")
    return bytes.fromhex(secret)


def format_address(address: bytes) -> str:
    """With the mixed case that lets a typing error be noticed (EIP-55)."""
    digits = address.hex()
    case = keccak(digits.encode()).hex()
    return "0x" + "".join(d.upper() if c > "7" else d for d, c in zip(digits, case, strict=False))


def parse_address(text: str, name: str = "address") -> bytes:
    """20 bytes from `0x` and 40 digits; mixed case must check (EIP-55). Raises ConfigError naming `name`."""
    if not re.fullmatch("0x[0-9a-fA-F]{40}", text):
        raise ConfigError(f"{name}: {text!r} is not an address; write 0x and 40 hexadecimal digits")
    address = bytes.fromhex(text[2:])
    if text[2:] not in (text[2:].lower(), text[2:].upper(), format_address(address)[2:]):
        raise ConfigError(f"{name}: the letters of {text} do not check (EIP-55); is a digit wrong?")
    return address
