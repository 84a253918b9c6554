"""The command `ofa-pose`: one file a verb, heavy imports inside the handlers."""
