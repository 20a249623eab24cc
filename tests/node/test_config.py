"""A configuration is read whole or refused with the key and what to write instead."""

from pathlib import Path

import pytest

from node.config import parse_host_port, read_config
from node.errors import ConfigError

LEAST = '[l1]\nurls = ["http://127.0.0.1:8545"]\n'


def write(folder: Path, text: str) -> Path:
    (folder / "keel.toml").write_text(text)
    return folder


def test_one_key_is_enough(tmp_path: Path) -> None:
    """Everything else has a default that works on one machine; paths are beside the file."""
    config = read_config(write(tmp_path, LEAST))

    assert (config.l1.urls, config.l1.quorum) == (("http://127.0.0.1:8545",), 1)
    assert (config.l1.chain_id, config.l1.rollup, config.l1.first_block) == (None, None, None)
    assert config.l1.fee_cap == 500 * 10**9
    assert config.data == tmp_path / "data"
    assert config.keys.l1 == config.keys.wallet == tmp_path / "keys" / "l1.json"
    assert config.sequencer.host == "127.0.0.1"
    assert config == read_config(tmp_path / "keel.toml")


def test_every_key_can_be_set(tmp_path: Path) -> None:
    """And arrives where it belongs."""
    address = "0x" + "05" * 20
    config = read_config(
        write(
            tmp_path,
            f"""
            [l1]
            urls = ["https://one", "https://two"]
            quorum = 1
            chain_id = 5
            rollup = "{address}"
            first_block = 17
            fee_cap_gwei = 7
            bump_after_blocks = 2
            poll_seconds = 0.5
            [keys]
            l1 = "/elsewhere/l1.json"
            oracle = ["a.json", "b.json"]
            wallet = "w.json"
            session = "s.json"
            [node]
            data = "chain"
            metrics_port = 9100
            log = "json"
            [sequencer]
            host = "::1"
            port = 1
            batch_bytes = 50_000
            batch_seconds = 3
            tick_seconds = 2
            unposted_bytes_max = 200_000
            requests_waiting_max = 10
            account_requests_max = 20
            tls_certificate = "certificate.pem"
            tls_key = "/elsewhere/key.pem"
            [follower]
            port = 2
            [watchtower]
            delay_seconds = 30
            [oracle]
            heartbeat_seconds = 5
            deviation_ppm = 100
            """,
        )
    )

    assert config.l1.quorum == 1, "not more than half, which two would be"
    assert (config.l1.chain_id, config.l1.first_block, config.l1.fee_cap) == (5, 17, 7 * 10**9)
    assert config.l1.rollup == bytes([5]) * 20
    assert config.keys.l1 == Path("/elsewhere/l1.json")
    assert config.keys.oracle == (tmp_path / "a.json", tmp_path / "b.json")
    assert (config.keys.wallet, config.keys.session) == (tmp_path / "w.json", tmp_path / "s.json")
    assert (config.metrics_port, config.is_log_json) == (9100, True)
    assert (config.sequencer.batch_bytes, config.sequencer.tick_seconds) == (50_000, 2.0)
    assert config.sequencer.account_requests_max == 20
    assert config.sequencer.tls_certificate == tmp_path / "certificate.pem"
    assert config.sequencer.tls_key == Path("/elsewhere/key.pem")
    assert (config.follower.port, config.watchtower.delay_seconds) == (2, 30.0)
    assert (config.oracle.heartbeat_seconds, config.oracle.deviation_ppm) == (5.0, 100)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", r"l1: missing; write a table \[l1\]"),
        ("l1 = 3", r"l1: write a table \[l1\]"),
        ("[l1]", r"l1\.urls: missing; write a list"),
        ("[l1]\nurls = []", r"l1\.urls: \[\] will not do; write a list"),
        ('[l1]\nurls = "http://x"', r"l1\.urls: 'http://x' will not do; write a list"),
        ('[l1]\nurls = ["ws://x"]', r"l1\.urls\[0\]: 'ws://x' will not do; write a URL"),
        ('[l1]\nurls = ["http://x", "http://y", "http://x"]', r"l1\.urls\[2\]: 'http://x' is given twice"),
        (LEAST + "quorum = 2", r"l1\.quorum: 2 will not do; write an integer from 1 to 1"),
        (LEAST + "chain_id = -1", r"l1\.chain_id: -1 will not do; write an integer from 0"),
        (LEAST + "chain_id = true", r"l1\.chain_id: True will not do"),
        (LEAST + 'rollup = "0x12"', r"l1\.rollup: '0x12' is not an address"),
        (LEAST + "rollup = 5", r"l1\.rollup: '5' is not an address"),
        (LEAST + "poll_seconds = 0", r"l1\.poll_seconds: 0 will not do; write seconds from 0.05"),
        (LEAST + "chain = 1", r"l1\.chain: unknown key; known here: urls, chain_id"),
        (LEAST + "[sequenser]", r"sequenser: unknown key; known here: node, l1, keys, sequencer"),
        (LEAST + "[sequencer]\nport = 70000", r"sequencer\.port: 70000 will not do; write an integer from 0 to 65535"),
        (LEAST + '[node]\nlog = "xml"', r"node\.log: 'xml' will not do; write one of text, json"),
        (LEAST + '[sequencer]\ntls_key = "key.pem"', r"sequencer\.tls_certificate: and tls_key are two halves"),
        (LEAST + '[keys]\nl1 = ""', r"keys\.l1: '' will not do; write a text"),
        ("[l1", "is not TOML"),
        ("\udcff", "is not TOML"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    """The file, the key, the value, and what to write instead."""
    (tmp_path / "keel.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=rf"keel\.toml.*{complaint}"):
        read_config(tmp_path)


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    """The first mistake that anybody makes."""
    with pytest.raises(ConfigError, match="run `keel init DIR`"):
        read_config(tmp_path)


def test_host_and_port() -> None:
    """Of IPv6 too."""
    assert parse_host_port("127.0.0.1:80", "--gateway") == ("127.0.0.1", 80)
    assert parse_host_port("[::1]:80", "--gateway") == ("::1", 80)
    for wrong in ("host", ":80", "host:", "host:65536", "host:-1", "host:x"):
        with pytest.raises(ConfigError, match=r"--gateway: .* write HOST:PORT"):
            parse_host_port(wrong, "--gateway")
