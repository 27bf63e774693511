"""One service of several processes: a parent that keeps workers, each an ordinary service."""
