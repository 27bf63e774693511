"""Virtual sensors: recorded or generated signals, sent as real sensors send: irregularly."""
