"""Without a face in Python: `branch` alone calls it."""
