"""What users would take instead of Headrace, one module each, run by a Python of its own.

They import numpy, the peer, and what the bare loop has: reader of events, writer of batches.
"""
