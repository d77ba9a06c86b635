"""Time zones by name: what a column of times keeps of its zone, and the zone again where a model is called.

A zone is told by its name in the IANA database, or by a fixed offset such as `+02:00`.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")


def zone_name(zone: tzinfo) -> str | None:
    """Return what a zone is called, None where neither a name nor a fixed offset tells it.

    Example:
        >>> zone_name(ZoneInfo("Europe/Berlin")), zone_name(timezone(timedelta(hours=-3))), zone_name(UTC)
        ('Europe/Berlin', '-03:00', 'UTC')
    """
    named = getattr(zone, "key", None) or getattr(zone, "zone", None)  # the latter of pytz
    if named is not None:
        return str(named) if _is_known(str(named)) else None
    offset = zone.utcoffset(None)
    if offset is None or offset % timedelta(minutes=1):
        return None
    if not offset:
        return "UTC"
    minutes = abs(offset) // timedelta(minutes=1)
    return f"{'-' if offset < timedelta(0) else '+'}{minutes // 60:02}:{minutes % 60:02}"


def zone_called(name: str) -> tzinfo:
    """Return the zone of a name.

    Raises:
        LookupError, ValueError, OSError: this machine knows none of that name.
    """
    found = _OFFSET.fullmatch(name)
    if found is None:
        return UTC if name == "UTC" else ZoneInfo(name)
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)


def _is_known(name: str) -> bool:
    try:
        zone_called(name)
    except (LookupError, ValueError, OSError):
        return False
    return True
