"""Lives: a small switch from one seed, engine and auditor side by side. Imports every room."""
