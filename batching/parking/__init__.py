"""Parking: events of slow sensors wait in the store, not in Redis, and the checkpoint moves on."""
