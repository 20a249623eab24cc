"""The sequencer's pure part: admission, matching, the log, batching, and what L1 says. No I/O, no clock."""
