"""Control: who may release money, and on whose word.

A policy says which steps a payment table takes before it is run, and whose signatures each needs.
Imports settlement and the rooms below; never meets clearing or reconcile.
"""
