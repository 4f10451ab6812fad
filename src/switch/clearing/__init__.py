"""Clearing: a payment table becomes positions and files. Imports settlement, registry, home, files
and native; never reconcile.
"""
