"""`python -m archsim`: the command line."""

from archsim.cli.main import main

if __name__ == "__main__":  # worker processes import it, too
    main()
