"""Reconciliation in other tools, side by side: see job.py for what the job is, run.py to run it."""
