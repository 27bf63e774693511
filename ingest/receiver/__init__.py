"""The SDK in a process of its own, so that receiving and what becomes of it use two cores."""
