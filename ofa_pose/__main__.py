"""`python -m ofa_pose` is the command `ofa-pose`."""

from ofa_pose.cli.main import main

if __name__ == "__main__":
    main()
