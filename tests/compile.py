"""Compiles what tests share, contracts and kernels, before two workers would each do it: `python -m tests.compile`.

Everything comes from the caches where nothing has changed since. What does not compile is left to the tests to tell.
"""

from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress

from vyper.exceptions import VyperException

from node.contracts import compile_contract, list_contracts
from risk.fast_account import load


def compile_contract_if_it_can_be(name: str) -> None:
    """Into the cache, unless the compiler refuses it."""
    with suppress(VyperException):
        compile_contract(name)


def main() -> None:
    """Use every core; the kernels take longest, so they come first."""
    with ProcessPoolExecutor() as pool:
        kernels = pool.submit(load)
        list(pool.map(compile_contract_if_it_can_be, list_contracts()))
        kernels.result()


if __name__ == "__main__":
    main()
