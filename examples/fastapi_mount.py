"""The hub inside a FastAPI application: `uvicorn examples.fastapi_mount:app`, then ws://127.0.0.1:8000/realtime/ws."""

from fastapi import FastAPI

import chappe

hub = chappe.Hub(dev=True)
app = FastAPI(lifespan=hub.lifespan)
app.mount("/realtime", hub.asgi())


@app.post("/orders/{number}")
async def order(number: int) -> dict[str, int]:
    """Tell everybody who follows orders; the answer says where it is in the channel."""
    position = await hub.publish("orders", {"number": number})
    return {"offset": position.offset}
