"""The command line: commands, one file a family of them. Imports every room; no room imports it."""
