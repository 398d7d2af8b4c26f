"""The bounded queue of a subscription."""

import asyncio

from chappe.client.inbox import Inbox, Item, Join, Missed, Resubscribed
from chappe.client.messages import Publication
from chappe.model.member import Member


def publication(number: int) -> Publication:
    return Publication("news", number, number, "a")


def drain(inbox: Inbox) -> list[Item]:
    items = []
    while (item := inbox.take()) is not None:
        items.append(item)
    return items


def test_items_come_out_as_they_went_in() -> None:
    inbox = Inbox(10)
    for number in range(3):
        inbox.put(publication(number))
    assert drain(inbox) == [publication(number) for number in range(3)]


def test_it_says_how_much_waits_and_when_there_is_room_again() -> None:
    inbox = Inbox(4)
    for number in range(4):
        inbox.put(publication(number))
    assert len(inbox) == 4
    inbox.take()
    assert not inbox.has_room
    inbox.take()
    assert inbox.has_room


def test_markers_that_follow_each_other_are_merged_so_cuts_without_a_reader_take_no_room() -> None:
    inbox = Inbox(1)
    inbox.put(publication(1))
    for number in range(1_000):
        inbox.put(Resubscribed(number != 500, None))
        inbox.put(Missed(2))
    assert drain(inbox) == [publication(1), Resubscribed(False, None), Missed(2_000)]


def test_markers_keep_their_place_between_publications() -> None:
    inbox = Inbox(10)
    items: list[Item] = [Resubscribed(True, None), publication(1), Resubscribed(False, None), publication(2)]
    for item in items:
        inbox.put(item)
    assert drain(inbox) == items


def test_the_oldest_that_is_dropped_leaves_word_of_how_many_there_were() -> None:
    inbox = Inbox(4)
    for number in range(4):
        inbox.put(publication(number))
    inbox.drop_oldest()
    inbox.drop_oldest()
    assert drain(inbox) == [Missed(2), publication(2), publication(3)]


def test_who_came_counts_as_no_publication_when_dropped() -> None:
    inbox = Inbox(4)
    inbox.put(Join(Member("s", None, "Ada")))
    inbox.put(publication(1))
    inbox.drop_oldest()
    inbox.drop_oldest()
    assert drain(inbox) == [Missed(1)]


async def test_a_cancelled_reader_loses_nothing() -> None:
    inbox = Inbox(4)
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)
    inbox.put(publication(1))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await inbox.wait()
    assert drain(inbox) == [publication(1)]
