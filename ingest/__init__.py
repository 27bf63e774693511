"""The front door: receives and decodes events, owns the process, the command and the hub."""
