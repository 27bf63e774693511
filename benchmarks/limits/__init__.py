"""What grows, and what it may cost at most: one program a question, and a page of their answers.

`python -m benchmarks.limits limits.jsonl` runs them all.
"""
