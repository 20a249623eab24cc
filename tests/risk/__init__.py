"""The risk kernel, against fifty digits, published values and its twins."""
