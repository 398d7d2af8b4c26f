"""Run the command line: `python -m chappe`."""

from chappe.cli import main

if __name__ == "__main__":
    main(prog_name="chappe")
