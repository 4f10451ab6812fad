"""Receivers: banks, wallets and mobile money that answer. Know the engine's files and nothing else
of it.
"""
