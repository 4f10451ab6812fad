"""Report: pictures and sheets for people. Imports what it shows from status, home and files."""
