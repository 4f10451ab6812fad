"""Without a face in Python: `_branch` alone calls it."""
