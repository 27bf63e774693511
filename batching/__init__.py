"""The workshop: groups chunks by sensor, decides when to seal, commits, hands over to runs."""
