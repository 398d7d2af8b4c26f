"""Hubs log in to NATS as its administrators want them to, and speak TLS."""

from pathlib import Path

import nkeys
import pytest

from chappe.brokers.nats.local import LocalNats
from chappe.hub.contracts import Read
from chappe.model.errors import ConfigurationError
from tests.brokers.jetstream.server import KEPT, Node, item, make, node
from tests.server.certificate import Certificate

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)


class OtherNats(LocalNats):
    """A server with another configuration."""

    def __init__(self, directory: Path, lines: str) -> None:
        super().__init__(directory)
        self._lines = lines

    def _config(self) -> str:
        return f"listen: 127.0.0.1:{self.port}\njetstream {{ store_dir: '{self.directory}' }}\n{self._lines}\n"


async def stored_with(server: OtherNats, login: str, **options: object) -> None:
    await server.start()
    try:
        async with node(f"nats://{login}127.0.0.1:{server.port}/", **options) as one:
            await one.probe.store(item("kept/a"))
            assert (await one.probe.read(Read("kept/a", KEPT, limit=9))).publications
        with pytest.raises(ConfigurationError, match="cannot use NATS"):
            await make(f"nats://nobody@127.0.0.1:{server.port}/").start(Node("nats://unused").probe)
    finally:
        await server.stop()


@pytest.mark.slow
async def test_a_user_with_a_password(tmp_path: Path) -> None:
    lines = 'authorization { users: [{ user: "a@b", password: "c:d" }] }'
    await stored_with(OtherNats(tmp_path, lines), "a%40b:c%3Ad@")


@pytest.mark.slow
async def test_a_user_with_only_the_rights_that_the_page_names(tmp_path: Path) -> None:
    subjects = '["chappe.>", "$JS.API.>", "_INBOX.chappe.>"]'
    lines = (
        f'authorization {{ users: [{{ user: "a", password: "b", '
        f"permissions: {{ publish: {subjects}, subscribe: {subjects} }} }}] }}"
    )
    await stored_with(OtherNats(tmp_path, lines), "a:b@")


@pytest.mark.slow
async def test_an_nkey(tmp_path: Path) -> None:
    key = nkeys.from_seed(SEED)
    seed = tmp_path / "hub.nk"
    seed.write_bytes(SEED)
    lines = f"authorization {{ users: [{{ nkey: {key.public_key.decode()} }}] }}"
    await stored_with(OtherNats(tmp_path, lines), "", nkey=seed)


@pytest.mark.slow
async def test_tls_with_an_authority_of_its_own(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    lines = (
        'authorization { token: "secret" }\n'
        f"tls {{ cert_file: '{certificate.cert}', key_file: '{certificate.key}', timeout: 5 }}"
    )
    await stored_with(OtherNats(tmp_path, lines), "secret@", tls_ca=certificate.cert)
