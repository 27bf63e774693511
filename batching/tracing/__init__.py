"""From an event to its batch, its runs and their results, and back, from what the store says."""
