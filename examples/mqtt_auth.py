"""A hub that knows devices by a key that never crosses the wire: they answer a challenge, and so does the hub."""

import hashlib
import hmac
import os

import chappe

hub = chappe.Hub(dev=True)
KEYS = {"lamp": b"a secret of the lamp"}


def sign(device: str, data: bytes) -> bytes:
    """Return what only the device and this hub can say of some data; of an unknown device nobody can."""
    return hmac.digest(KEYS.get(device, os.urandom(32)), data, hashlib.sha256)


@hub.mqtt_auth("HMAC")
async def prove(exchange: chappe.MqttExchange) -> str:
    """Let a device prove that it has its key."""
    challenge = os.urandom(16)
    proof = await exchange.ask(challenge)
    if not hmac.compare_digest(proof, sign(exchange.client_id, challenge)):
        raise chappe.Refused(1001, "a wrong proof")
    exchange.answer = sign(exchange.client_id, proof)
    return f"device.{exchange.client_id}"
