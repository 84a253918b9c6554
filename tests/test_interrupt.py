"""Ctrl-C is held back, not lost."""

import signal
import threading

import pytest

from ofa_pose.interrupt import (
    deferred_interrupt,
    heeded_interrupt,
    noted_interrupt,
    terminated_as_interrupted,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_held_back_until_the_end(number: signal.Signals):
    done = []

    def block():
        with terminated_as_interrupted(), deferred_interrupt():
            signal.raise_signal(number)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no SIGHUP")
def test_a_hangup_where_that_is_asked_for():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with terminated_as_interrupted():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        with pytest.raises(KeyboardInterrupt), terminated_as_interrupted(hangup=True):
            signal.raise_signal(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
        with terminated_as_interrupted(hangup=True):
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_only_the_first_sigterm_counts():
    done = []
    with terminated_as_interrupted():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGTERM)  # of `timeout`, to the group
            done.append("saved")
    assert done == ["saved"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_ones_own_stays():
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        with terminated_as_interrupted():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


def test_nested():
    done = []

    def block():
        with deferred_interrupt():
            with deferred_interrupt():
                signal.raise_signal(signal.SIGINT)
                done.append(1)
            done.append(2)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == [1, 2]


def test_nothing_happens_without_a_signal():
    with deferred_interrupt():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_just_run():
    done = []

    def run():
        with deferred_interrupt():
            done.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [1]


def test_noted_is_not_raised():
    with noted_interrupt() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_noted_but_heeded_where_that_is_asked_for():
    with noted_interrupt() as interrupted:
        with pytest.raises(KeyboardInterrupt), heeded_interrupt():
            signal.raise_signal(signal.SIGINT)
        assert not interrupted()  # it is noted again, not raised, from here on
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt), heeded_interrupt():
            pytest.fail("the one that was noted came too late")


def test_heeded_alone_changes_nothing():
    before = signal.getsignal(signal.SIGINT)
    with heeded_interrupt():
        assert signal.getsignal(signal.SIGINT) is before
