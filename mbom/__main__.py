"""`python -m mbom` is `mbom`."""

from mbom.cli import main

if __name__ == "__main__":
    main()
