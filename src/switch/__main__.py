"""The command line: `switch`, and `python -m switch`."""

from switch import interrupt


def main() -> None:
    """Run the command line, which is imported when nobody can interrupt it half way."""
    interrupt.begin()
    from switch.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
