"""Patterns of channels and what subscribes to them, found by segments (MQTT 5, 4.7)."""

from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    """One segment of the patterns that begin alike; `+` and `#` are children like any other segment."""

    __slots__ = ("children", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        # A dict and not a set: the order of a fan-out must not depend on hashes.
        self.values: dict[T, None] = {}


class PatternIndex(Generic[T]):
    """A set of (pattern, value) pairs that answers which values a channel concerns.

    A trie: a match visits, for each segment of the channel, only the branches that still fit, whatever the number of
    other patterns is. Patterns are taken as `model.channels.check_pattern` accepts them and are not checked again.
    """

    __slots__ = ("_root", "_size")

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._size = 0

    def add(self, pattern: str, value: T) -> bool:
        """Add a pair; return False if it is there already."""
        node = self._root
        for segment in pattern.split("/"):
            child = node.children.get(segment)
            if child is None:
                child = node.children[segment] = _Node()
            node = child
        if value in node.values:
            return False
        node.values[value] = None
        self._size += 1
        return True

    def discard(self, pattern: str, value: T) -> bool:
        """Remove a pair and the segments that nothing else uses; return False if it is not there."""
        node = self._root
        path: list[tuple[_Node[T], str]] = []
        for segment in pattern.split("/"):
            child = node.children.get(segment)
            if child is None:
                return False
            path.append((node, segment))
            node = child
        if value not in node.values:
            return False
        del node.values[value]
        self._size -= 1
        for parent, segment in reversed(path):
            if node.values or node.children:
                break
            del parent.children[segment]
            node = parent
        return True

    def match(self, channel: str) -> list[T]:
        """Return the values of all patterns that match a channel name, each once, in an order that is the same again.

        A wildcard in the first segment matches no name that begins with `$` (MQTT 5, 4.7.2).
        """
        if not self._size:
            return []
        segments = channel.split("/")
        frontier = [self._root]
        if channel.startswith("$"):
            literal = self._root.children.get(segments[0])
            if literal is None:
                return []
            frontier = [literal]
            del segments[0]
        found: dict[T, None] = {}
        for segment in segments:
            following: list[_Node[T]] = []
            for node in frontier:
                for key in (segment, "+"):
                    child = node.children.get(key)
                    if child is not None:
                        following.append(child)
                rest = node.children.get("#")
                if rest is not None:
                    found.update(rest.values)
            frontier = following
            if not frontier:
                return list(found)
        for node in frontier:
            found.update(node.values)
            # "sport/#" also matches its parent "sport" (4.7.1.2).
            rest = node.children.get("#")
            if rest is not None:
                found.update(rest.values)
        return list(found)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self._size
