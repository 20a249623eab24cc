"""A genesis.toml is read whole or refused by key; what `keel init` writes needs no change to work."""

from pathlib import Path

import pytest

from node.config import read_config
from node.errors import ConfigError
from node.init_folder import init_folder
from node.keys import Secp256k1Key
from node.launch import check_launch, read_launch
from state.genesis import decode_genesis
from state.leaves import QUOTE_UNDERLYING


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init_folder(tmp_path)
    return tmp_path


def test_what_init_writes_is_complete(tmp_path: Path) -> None:
    """Configuration, terms and keys fit each other, and every inequality holds."""
    keys = init_folder(tmp_path / "exchange", "http://127.0.0.1:9")
    config, launch = read_config(tmp_path / "exchange"), read_launch(tmp_path / "exchange" / "genesis.toml")

    check_launch(launch)
    assert config.l1.urls == ("http://127.0.0.1:9",)
    written = (config.keys.l1, config.keys.wallet, config.keys.session, *config.keys.oracle)
    assert all(path.exists() for path in written)
    signers = [keys[f"oracle-{n}"] for n in (1, 2, 3)]
    assert [k.address for k in signers if isinstance(k, Secp256k1Key)] == list(launch.genesis.params.oracle_signers)
    assert launch.genesis.params.assets[0].underlying == QUOTE_UNDERLYING
    assert launch.genesis.params.assets[1].underlying == 1
    assert decode_genesis(launch.genesis.encode()).encode() == launch.genesis.encode()
    assert launch.genesis.listings[-1].basket == ((0, 500_000), (1, 500_000))


def test_init_never_overwrites(folder: Path) -> None:
    """Not even when only one of the files is there."""
    with pytest.raises(ConfigError, match=r"keel\.toml exists"):
        init_folder(folder)
    (folder / "keel.toml").unlink()
    with pytest.raises(ConfigError, match=r"genesis\.toml exists"):
        init_folder(folder)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("threshold = 2", "threshold = 4", "oracle.threshold must be from 1 to the number of different signers"),
        ("threshold = 2", "treshold = 2", "oracle.threshold: missing; write an integer from 1 to 5"),
        ("challenge_window = 604_800", "challenge_window = 0", "terms.challenge_window: 0 will not do"),
        ("time_lag_max = 1_800", "time_lag_max = 100_000", "time_lag_max must not exceed silence_limit"),
        ('underlying = "ETH"', 'underlying = "DOGE"', "DOGE is not listed; write one of BTC, ETH, LTC, XRP"),
        ('symbol = "BTC"', 'symbol = "BITCOINCASH"', "at most 8 ASCII characters"),
        ('symbol = "LTC"', 'symbol = "ETH"', "underlyings of different symbols"),
        ('"BTC 500000"', '"DOGE 500000"', "'DOGE 500000' will not do; write a symbol listed before"),
        ('rules = "keel"', 'rules = "kiel"', "'kiel' is no set of rules; write one of keel"),
        ("band_ppm = 50_000", "band_ppm = 300_000", "fees.band_ppm must be below 159999"),
        ("haircut_ppm = 100_000", "haircut_ppm = 990_000", "both haircuts must be at most 1000000 together"),
        ('peg = "USD"', 'peg = "DAI"', "oracle.peg: DAI is not listed"),
        ('token = "ETH"', 'token = "ether"', r"assets\[1\]\.token: 'ether' is not an address"),
        ("maker_ppm = 100", "maker_ppm = 1.5", "fees.maker_ppm: 1.5 will not do; write an integer"),
        ("[funding]", "[funds]", r"funding: missing; write a table \[funding\]"),
        ("time = 0", "tme = 0", "tme: unknown key"),
        ("bond_gwei = 2_000_000_000", "bond_gwei = 1", "terms.bond must be at least 0.84 ether"),
    ],
)
def test_terms_that_cannot_be_are_named(folder: Path, old: str, new: str, complaint: str) -> None:
    """One change to a good file, one sentence."""
    path = folder / "genesis.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=complaint):
        read_launch(path)
