"""Serve: live pages and actions over one home, for whoever watches it; each is one call of the
library. It imports all rooms but `cli`."""
