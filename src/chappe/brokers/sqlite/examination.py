"""A look at a file without a hub: whether a hub could start on it, and what it would find."""

import sqlite3
from typing import Literal, NamedTuple

from chappe.brokers.sqlite.address import check_address, parse_address
from chappe.brokers.sqlite.database import Database, FileBusy
from chappe.brokers.sqlite.loading import load
from chappe.model.errors import ConfigurationError


class Report(NamedTuple):
    """What was found.

    Attributes:
        state: `good`, `new` (there is no file yet), `lossy` (channels will begin a new epoch), `busy`
            (a hub runs on it), `unusable`.
        reason: of the last three.
    """

    state: Literal["good", "new", "lossy", "busy", "unusable"]
    path: str
    channels: int = 0
    publications: int = 0
    reason: str = ""


def examine(url: str) -> Report:
    """Verify every row and index of the file that a URL names; changes nothing that a hub would see.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    address = parse_address(url)
    path = str(address.path)
    try:
        check_address(url)
        if not address.path.exists():
            return Report("new", path)
        database = Database(address.path, address.sync)
        database.open("full")
        try:
            loaded = load(database, str)
        except sqlite3.Error as error:
            raise database.refusal(error) from None
        finally:
            database.close()
    except FileBusy as error:
        return Report("busy", path, reason=error.reason)
    except ConfigurationError as error:
        return Report("unusable", path, reason=error.reason)
    publications = sum(len(stream.kept) for stream in loaded.streams)
    state: Literal["good", "lossy"] = "lossy" if loaded.reason else "good"
    return Report(state, path, len(loaded.streams), publications, loaded.reason)
