"""`ofa-pose` and `python -m ofa_pose`: the command, whose imports take a moment already."""

import sys


def main() -> None:
    """Run the command line of this process; a Ctrl-C while it is imported ends in one line."""
    try:
        from ofa_pose.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("ofa-pose: error: interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
