"""Liquidity: what settles when money is short, with how little, and what happens if somebody fails.

Pure functions over columns and small tables; docs/settlement.md explains the rules.
"""
