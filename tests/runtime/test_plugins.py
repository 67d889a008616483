"""Connectors of other packages: found, and kept from doing harm when broken."""

import sys
import types
from importlib.metadata import EntryPoint

import pytest
from pydantic import BaseModel

from crm_sync.ports import SenderKind, SourceKind
from crm_sync.runtime.plugins import SENDERS, SOURCES, discover


def _source(name, value):
    return EntryPoint(name, value, SOURCES)


@pytest.fixture(autouse=True)
def stranger(monkeypatch):
    """A package of somebody else's with a good connector, a bad one, and something else."""
    module = types.ModuleType("stranger")
    module.GOOD = SourceKind("mailbox", BaseModel, lambda options, around: None)
    module.SENDER = SenderKind(BaseModel, lambda options, around: None)
    module.OTHER = object()
    monkeypatch.setitem(sys.modules, "stranger", module)
    return module


def test_a_connector_is_found_by_the_name_of_its_entry_point(stranger):
    plugins = discover(
        [_source("pop3", "stranger:GOOD")], [EntryPoint("pigeon", "stranger:SENDER", SENDERS)]
    )

    assert plugins.sources == {"pop3": stranger.GOOD}
    assert plugins.senders == {"pigeon": stranger.SENDER}
    assert plugins.findings == ()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("no_such_module:KIND", "can't be loaded (ModuleNotFoundError)"),
        ("stranger:MISSING", "can't be loaded (AttributeError)"),
        ("stranger:OTHER", "is no SourceKind"),
        ("stranger:SENDER", "is no SourceKind"),
    ],
)
def test_a_broken_connector_is_told_and_stops_no_other(stranger, value, problem):
    plugins = discover([_source("broken", value), _source("pop3", "stranger:GOOD")], [])

    assert plugins.sources == {"pop3": stranger.GOOD}
    (finding,) = plugins.findings
    assert finding.name == "connector broken"
    assert not finding.ok
    assert problem in finding.problem


def test_a_name_that_two_packages_want_belongs_to_neither():
    plugins = discover(
        [_source("pop3", "stranger:GOOD"), _source("pop3", "stranger:GOOD.kind")], []
    )

    assert plugins.sources == {}
    assert "several packages offer a connector of this name" in [
        finding.problem for finding in plugins.findings
    ]


def test_only_connectors_that_are_asked_for_are_loaded(monkeypatch):
    loaded = []

    def load(point):
        loaded.append(point.name)
        return sys.modules["stranger"].GOOD

    monkeypatch.setattr(EntryPoint, "load", load)
    plugins = discover([_source("pop3", "stranger:GOOD"), _source("uucp", "stranger:GOOD")], [])

    assert "pop3" in plugins.sources
    assert plugins.sources.get("fidonet") is None
    assert loaded == ["pop3"]
    assert list(plugins.sources) == ["pop3", "uucp"]
