"""Django and the hub on one port: `uvicorn examples.django_mount.asgi:application`.

Django serves its own pages; everything below /realtime/ is the hub's, ws://127.0.0.1:8000/realtime/ws among it.
"""

import secrets

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.routing import Mount

import chappe

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY=secrets.token_hex(32), DEBUG=False
)
django.setup()

hub = chappe.Hub(dev=True)


async def order(request: HttpRequest, number: int) -> HttpResponse:
    """Tell everybody who follows orders."""
    position = await hub.publish("orders", {"number": number})
    return JsonResponse({"offset": position.offset})


urlpatterns = [path("orders/<int:number>", order)]

application = Starlette(
    routes=[Mount("/realtime", hub.asgi()), Mount("/", get_asgi_application())],
    lifespan=hub.lifespan,
)
