"""One module per outer system: what the ports of batching look like in the real world."""
