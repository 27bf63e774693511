"""What Headrace costs: the whole path against a bare loop, and where the time goes."""
