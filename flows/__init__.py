"""The data scientists' side: read a run's batches, compute, write the result once."""
