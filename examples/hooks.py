"""A hub with rules of its own: `chappe serve hooks:hub`, with a chappe.toml that says who may do what."""

import time

import chappe

hub = chappe.Hub.from_config()


@hub.on_connect
async def connect(session: chappe.Session) -> None:
    """Refuse a name."""
    if session.name == "Mallory":
        raise chappe.Refused(chappe.Code.PERMISSION_DENIED, "you are not welcome here")


@hub.on_publish("chat/#")
async def moderate(session: chappe.Session, publication: chappe.Draft) -> None:
    """Soften the language before anybody sees it."""
    if isinstance(publication.data, dict) and "damn" in str(publication.data.get("content")):
        publication.data = {**publication.data, "content": "***"}


@hub.rpc("add")
async def add(session: chappe.Session, a: int, b: int) -> int:
    """Add two numbers for a client."""
    return a + b


@hub.rpc("slow", blocking=True)
def slow(session: chappe.Session) -> str:
    """Run in a thread, so that nobody else waits."""
    time.sleep(0.2)
    return "done"
