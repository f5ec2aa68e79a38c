"""The command line as `python -m archsim`."""

from archsim.cli.main import main

if __name__ == "__main__":  # because worker processes import this module as well
    main()
