"""From wire bytes to chunks: one module a format, all pure."""
