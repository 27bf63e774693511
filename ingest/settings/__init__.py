"""Every setting of the service: its type, its default, its description, written once."""
