"""Proof: everything computed a second time, from committed files. Shares no kernel with the engine;
`replay` alone drives it. Imports every room below the engine, but no road that it judges.
"""
