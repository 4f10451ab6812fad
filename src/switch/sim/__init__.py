"""Simulation: an invented nation, its receivers, random lives and their judge; it stands over all
rooms.
"""
