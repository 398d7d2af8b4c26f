import chappe

hub = chappe.Hub.from_config("chappe.toml")


@hub.on_publish("chat/#")
async def moderate(session: chappe.Session, publication: chappe.Draft) -> None:
    if not session.name:
        raise chappe.Refused(chappe.Code.PERMISSION_DENIED, "choose a name first: add ?name=Ada to the address")
    if isinstance(publication.data, str) and len(publication.data) > 500:
        raise chappe.Refused(1001, "a message has at most 500 characters")
