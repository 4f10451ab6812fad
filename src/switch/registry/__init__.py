"""Registry: people, accounts, participants, and how they change. Imports home, files and native."""
