"""Hands committed batches to runs: jobs, their records and attempts, and what starts them."""
