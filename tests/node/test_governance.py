"""A governor changes a fee: a month of L1 time, everybody can read it before, and from its day the chain obeys."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node import cli
from node.governance import Governance, GovernanceError, change_fields, list_differences
from node.keys import Secp256k1Key, create_key, format_address
from node.launch import LaunchAsset, compute_notice
from node.rollup import ETH
from state.genesis import Genesis
from state.ledger import Ledger
from tests.governed import ACTIVE
from tests.node.clerk import Clerk
from tests.node.town import TERMS, Town, build_launch, open_town
from tests.world import LISTINGS

DAY = 86_400


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    key = create_key(tmp_path / "mayor.json", Secp256k1Key)
    assert isinstance(key, Secp256k1Key)
    assets = (LaunchAsset("USD", None, 1, 10**15), LaunchAsset("ETH", ETH, 10**9, 10**15))
    genesis = Genesis(ACTIVE.params, ACTIVE.rules, LISTINGS, 0)
    launch = replace(build_launch(), genesis=genesis, assets=assets, governor=key.address)
    with open_town(tmp_path, launch) as running:
        yield running


@pytest.fixture
def clerk(town: Town, tmp_path: Path) -> Iterator[Clerk]:
    with Clerk(town, tmp_path / "data") as running:
        yield running


def run(town: Town, name: str, *words: str) -> int:
    """A command of somebody's, who knows the L1 and the rollup."""
    town.get_key(name)
    where = ["--l1", town.anvil.url, "--rollup", town.deployment.rollup]
    key = ["--key", str(town.folder / f"{name}.json")] if words[0] == "governor" else []
    return cli.main([*words, *where, *key])


def give_ether(town: Town, name: str) -> None:
    """For gas and fees."""
    address = format_address(town.get_key(name).address)
    town.anvil.request("anvil_setBalance", address, hex(10**20))


def test_a_fee_changes_after_a_month(
    town: Town, clerk: Clerk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mayor proposes from a file; people read it in the inbox, then among what waits; a second before its day the
    old fee is charged, from its day the new one; and who follows by L1 alone sees the same."""
    give_ether(town, "mayor")
    changes = tmp_path / "changes.toml"
    changes.write_text("[params]\ntaker_fee_ppm = 600\n[rules.tiers.0]\ngamma_threshold = 2_400_000_000_000\n")
    assert run(town, "mayor", "governor", "propose", str(changes)) == 0
    assert run(town, "anybody", "governor", "show") == 0
    assert "version 1, in the inbox, from" in capsys.readouterr().out
    assert run(town, "anybody", "status") == 0
    assert "version 1 from" in capsys.readouterr().out

    clerk.take_messages()
    clerk.post()
    assert run(town, "anybody", "governor", "show") == 0
    said = capsys.readouterr().out
    assert "version 1, waiting, from" in said
    assert "params.taker_fee_ppm: 500 -> 600" in said
    assert "rules.tiers.0.gamma_threshold: 2000000000000 -> 2400000000000" in said
    waiting = Governance(town.rollup).read().waiting
    assert waiting is not None

    day = waiting.version.params.active_from
    town.pass_time(day - town.l1.get_block().time - 60)
    list(clerk.core.engine.tick(day - 1))
    assert Ledger(clerk.core.engine.leaves).get_params() == replace(ACTIVE.params, active_from=0)
    town.pass_time(120)
    clerk.take_messages()
    ledger = Ledger(clerk.core.engine.leaves)
    assert (ledger.get_globals().params_version, ledger.get_params().taker_fee_ppm) == (1, 600)
    assert ledger.get_rules().tiers[0].gamma_threshold == 2_400_000_000_000
    clerk.post()
    assert run(town, "anybody", "governor", "show") == 0
    said = capsys.readouterr().out
    assert "active     version 1" in said
    assert "coming     nothing" in said


def test_a_key_goes_from_hand_to_hand_and_burns(town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By commands alone; nobody proposes afterwards."""
    for name in ("mayor", "heir"):
        give_ether(town, name)
    heir = format_address(town.get_key("heir").address)
    changes = tmp_path / "changes.toml"
    changes.write_text("[params]\ntaker_fee_ppm = 600\n")
    assert run(town, "mayor", "governor", "hand-over", heir) == 0
    assert run(town, "heir", "governor", "take-over") == 0
    assert run(town, "mayor", "governor", "propose", str(changes)) == 1
    assert "governor: sender" in capsys.readouterr().err
    assert run(town, "heir", "governor", "renounce") == 0
    assert run(town, "heir", "governor", "propose", str(changes)) == 1
    assert run(town, "heir", "governor", "show") == 0
    assert "nobody: the key is burned" in capsys.readouterr().out


def test_what_the_contract_would_refuse_is_not_sent(
    town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mistake in a file is one sentence that says what is wrong, and costs nothing."""
    changes = tmp_path / "changes.toml"
    for text, sentence in (
        ("[params]\ntaker_fee_ppm = 10_001\n", "a number of the parameters is out of its range"),
        ("[params]\ntaker_fees = 1\n", "params.taker_fees: no taker_fees; known here: oracle_threshold"),
        ("[parameters]\ntaker_fee_ppm = 1\n", "parameters.taker_fee_ppm: a path begins with params or rules"),
        ('[params]\ntaker_fee_ppm = "much"\n', "params.taker_fee_ppm: 'much' will not do"),
        ("[params.assets.7]\ncreate_min = 1\n", "params.assets.7.create_min: there are 2, numbered from 0"),
        ("[params]\nassets = 7\n", "params.assets: this is not what can be changed to 7"),
        ("[rules.scenarios.0]\nvol = 9\n", "rules.scenarios.0.vol: 9 is not a valid VolShock"),
        ("[rules.scenarios.0]\nvol = 0\n", "scenarios and tiers keep their number and their kinds"),
    ):
        changes.write_text(text)
        assert run(town, "mayor", "governor", "propose", str(changes)) == 1
        assert sentence in capsys.readouterr().err
    assert town.rollup.view("inbox_count") == 0


def test_signers_are_changed_as_a_list() -> None:
    """One of four is another, and the difference is one field."""
    signers = (*ACTIVE.params.oracle_signers[:3], bytes([9]) * 20)
    version = change_fields(ACTIVE, {"params.oracle_signers": signers})
    assert version.params.oracle_signers == signers
    assert [path for path, _, _ in list_differences(ACTIVE, version)] == ["params.oracle_signers.3"]


def test_a_rollup_without_governor_says_so(tmp_path: Path) -> None:
    """Its parameters never change, and nobody can ask for it."""
    with open_town(tmp_path) as town:
        assert town.rollup.get_governor() is None
        with pytest.raises(GovernanceError, match="never change"):
            Governance(town.rollup)


def test_notice_is_what_the_rollup_wants() -> None:
    """A month, and the rollup's own times."""
    assert compute_notice(TERMS) == 30 * DAY + TERMS.challenge_window + TERMS.inbox_deadline + TERMS.wind_down_limit
