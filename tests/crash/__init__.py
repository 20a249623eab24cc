"""`make crash`: three days of 2017 against leveraged accounts, on the engine, a follower and the contract's bytecode."""
