"""Native: loops over every line, in Cython. Imports itself only."""
