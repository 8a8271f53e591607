"""Threads of an association are woken by what they wait for, and by nothing else."""

import socket
import threading
from types import SimpleNamespace

import pytest
from pynetdicom.transport import AssociationSocket

from appliance.world.dimse.server import _Socket
from appliance.world.dimse.waking import Bell, News, Told, readable

LONG_S = 60.0


@pytest.fixture
def pair() -> "tuple[socket.socket, socket.socket]":
    here, there = socket.socketpair()
    with here, there:
        yield here, there  # type: ignore[misc]


def test_a_bell_ends_the_wait_once_and_is_no_data(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    bell = Bell()
    Told(bell.ring).put("something to send")
    assert not readable(here, bell, LONG_S)
    there.send(b"x")
    assert readable(here, bell, LONG_S)
    here.recv(1)
    assert not readable(here, bell, 0.0), "the bell was heard once"


def test_news_of_any_queue_ends_the_wait_and_what_lies_there_is_not_waited_for() -> None:
    news = News()
    first, second = news.queue(), news.queue()
    threading.Timer(0.01, second.put, ["a release"]).start()
    while second.empty():
        news.wait()
    first.put("a message")
    second.get()
    news.wait()
    assert not first.empty()


def test_a_line_that_was_ended_takes_nothing_more_in(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    line = _Socket.__new__(_Socket)
    dul = SimpleNamespace(state_machine=SimpleNamespace(current_state="Sta6"), _kill_thread=False)
    line._assoc, line.socket, line._is_connected, line.bell = SimpleNamespace(dul=dul), here, True, Bell()  # type: ignore[assignment]
    assert isinstance(line, AssociationSocket)
    there.send(b"x")
    assert line.ready
    dul._kill_thread = True
    assert not line.ready
