"""The devnet: its lies, its market, its drill."""
