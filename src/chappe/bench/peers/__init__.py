"""The servers to stand beside, each a program that takes a port; none is imported by the hub.

All do the same: `/echo` echoes, any other path broadcasts to all connections of that path, so that `/room/7` is a room.
The Socket.IO servers have no paths: they echo, broadcast and acknowledge by event name.
"""
