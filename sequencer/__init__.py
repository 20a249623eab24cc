"""The order of operations: book, batches and the log between them. No clock, no I/O: both are arguments."""
