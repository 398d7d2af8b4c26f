"""A listener hears what is published, with the rights of the application."""

from chappe.app import Hub
from chappe.bridges.listening import Listener
from chappe.model.publication import Publication


async def test_it_hears_a_closed_channel_until_it_is_closed() -> None:
    hub = Hub()
    await hub.start()
    heard: list[Publication] = []
    listener = Listener(hub.core, ["a", "b"], heard.append, lambda: None)
    await hub.publish("a", 1)
    await hub.publish("c", 2)
    await hub.publish("b", 3)
    assert [(each.channel, each.as_value()) for each in heard] == [("a", 1), ("b", 3)]
    listener.close()
    listener.close()
    await hub.publish("a", 4)
    assert len(heard) == 2
    assert not hub.sessions
    await hub.stop()


async def test_an_interrupted_feed_ends_it() -> None:
    hub = Hub()
    await hub.start()
    ended: list[int] = []
    Listener(hub.core, ["a"], lambda _: None, lambda: ended.append(1))
    hub.core.delivery.interrupted(None)
    assert ended == [1]
    await hub.stop()
