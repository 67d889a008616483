"""Calendars on CalDAV servers (RFC 4791), read with `caldav` and never written."""

import os

from connectors.caldav.options import CaldavOptions
from crm_sync.core.errors import ConfigError, Problem
from crm_sync.ports import Source, SourceKind, Surroundings

_DUMP = "PYTHON_CALDAV_COMMDUMP"


def _build(options: CaldavOptions, surroundings: Surroundings) -> Source:
    if os.environ.get(_DUMP):
        advice = "Unset it: the library would write passwords and meetings to files in /tmp."
        raise ConfigError([Problem(_DUMP, "is set in the environment", advice)])
    # The library and its HTTP stack take half a second to import; checking options needs neither.
    from connectors.caldav.source import CaldavSource  # noqa: PLC0415  # see above

    return CaldavSource(options, surroundings)


KIND = SourceKind(kind="calendar", options=CaldavOptions, build=_build)
