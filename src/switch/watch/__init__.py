"""Watch: one home, watched. It tells what is wrong or near its deadline, and gives numbers to
monitors. It reads by the calls that stand open to all, and writes what people say of alarms."""
