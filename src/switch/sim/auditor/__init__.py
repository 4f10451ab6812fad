"""The auditor: what must become of everything, worked out slowly. Knows `schema`, `reason` and
`errors` alone.
"""
