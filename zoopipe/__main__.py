"""`python -m zoopipe` is the command `zoopipe`."""

from zoopipe.cli import main

if __name__ == "__main__":
    main(prog_name="zoopipe")
