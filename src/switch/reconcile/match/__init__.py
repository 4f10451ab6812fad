"""Matching: what fits what, and the breaks. Knows record sets and no home; imports files and
native.
"""
