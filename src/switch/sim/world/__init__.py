"""The world: an invented nation and its paydays, with true answers. Knows nothing of the engine
that it feeds but how files are written.
"""
