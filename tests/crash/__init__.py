"""`make crash`: three days of 2017 against leveraged accounts, on engine, follower and the contract's bytecode."""
