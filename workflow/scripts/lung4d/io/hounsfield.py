"""The scale of CT."""

AIR = -1024  # HU: the lowest value of any file, and what lies beyond a scan
