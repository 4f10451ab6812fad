"""Settlement: when and how money moves: calendar, cycles, positions, postings, liquidity. Imports
registry, home, files and native.
"""
