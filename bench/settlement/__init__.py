"""Netting, gridlock resolution and their peers, measured beside each other."""
