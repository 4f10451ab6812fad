"""Open items: one home, asked what is open in it: breaks, cycles, balances, lines that wait or came
back. Everything is read, and nothing is moved."""
