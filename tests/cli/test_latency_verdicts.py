"""What a table that was just measured is said to be worth."""

import pytest

from ofa_pose.cli._latency_verdicts import Fit, _milliseconds, verdict
from ofa_pose.cost.latency_schema import ErrorFigures, ValidationSection


def section(mape: float, *, plain: float, twice: float) -> ValidationSection:
    return ValidationSection(
        mape=mape,
        largest=0.3,
        networks=8,
        plain_sum=ErrorFigures(mape=plain),
        noise_floor=ErrorFigures(mape=twice),
    )


@pytest.mark.parametrize(
    ("figures", "unrest", "plain"),
    [
        (section(0.116, plain=0.1065, twice=0.1138), True, True),
        (section(0.02, plain=0.04, twice=0.03), False, False),
        (section(0.2, plain=0.3, twice=0.06), False, False),  # too far off to be unrest alone
        (section(0.03, plain=0.03, twice=0.01), False, True),
    ],
)
def test_a_verdict_weighs_the_table_against_the_machine_and_the_plain_sum(figures, unrest, plain):
    told = verdict("desk", figures)
    assert told.startswith(f"desk is off by {figures.mape:.1%} on average, 30.0% at most")
    assert ("may be the machine's own unrest" in told) == unrest
    assert ("units measured alone is no worse" in told) == plain


def test_long_times_are_plain_numbers():
    printed = [_milliseconds(value) for value in (0.0567, 12.34, 999.4, 999.7, 1234.5)]
    assert printed == ["0.0567", "12.3", "999", "1,000", "1,234"]


@pytest.mark.parametrize(("slowdown", "told"), [(1.0, False), (1.1, False), (1.8, True)])
def test_a_device_that_grew_slow_is_told_of(caplog, slowdown, told):
    Fit(networks=0, error=None, twice=None, held={}, slowdown=slowdown).warn("pi", "measure again")
    expected = (
        "latency table pi is of the device at its best, and for most of the measurement it took "
        "1.80 times as long, by heat or other work, as networks do where that lasts: divide a "
        "budget by that (for 30 ms give 16.7ms@pi), or cool the device, leave it alone and measure "
        "again"
    )
    assert caplog.messages == [expected] * told
