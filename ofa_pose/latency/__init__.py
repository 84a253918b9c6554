"""Latency tables of one's own device: measured, validated, carried there and back."""

from ofa_pose.latency.build import Effort, build_table
from ofa_pose.latency.bundle import read_measured, table_of_measured, write_bundle
from ofa_pose.latency.runtimes import RUNTIMES
from ofa_pose.latency.validate import Validation, validate
from ofa_pose.latency.winners import Timed, time_networks

__all__ = [
    "RUNTIMES",
    "Effort",
    "Timed",
    "Validation",
    "build_table",
    "read_measured",
    "table_of_measured",
    "time_networks",
    "validate",
    "write_bundle",
]
