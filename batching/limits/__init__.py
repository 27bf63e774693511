"""Limits: what a process holds stays within its bounds, by early seals and an intake that waits."""
