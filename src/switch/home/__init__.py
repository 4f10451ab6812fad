"""Home: what is kept, and the one commit that changes it. Imports files alone."""
