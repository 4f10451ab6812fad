"""Files: tables in and out of bytes. Knows formats, no payments; imports native alone."""
