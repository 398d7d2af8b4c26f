"""`chappe connect` without a terminal: a filter with right exit codes; its options reach the server."""

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import serve

from ..conftest import Run, misbehave, port_of

pytestmark = pytest.mark.slow


def connect(url: str, *arguments: str, stdin: bytes = b"", code: int = 0, **env: str) -> tuple[str, str]:
    """Run the command with a pipe; return standard output and standard error."""
    command = [sys.executable, "-m", "chappe", "connect", url, "--wait", "0.3", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=20, env={"PATH": "/usr/bin:/bin", **env})
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode()


def test_lines_are_sent_and_answers_printed(echo_url: str) -> None:
    out, err = connect(echo_url, stdin="hello\n\n  \né\n/quit\n".encode())
    assert out == "hello\né\n/quit\n"
    assert err.splitlines()[-1] == "disconnected: 1000 normal closure"


def test_binary_frames_are_written_as_they_are(echo_url: str) -> None:
    out, _ = connect(echo_url, stdin=b"bytes\n")
    assert out == "\x00\udcffab"


def test_a_line_that_is_no_text_is_told_and_the_rest_sent(echo_url: str) -> None:
    out, err = connect(echo_url, stdin=b"\xff\nok\n")
    assert out == "ok\n"
    assert "not UTF-8" in err


def test_json_has_one_object_for_each_event(echo_url: str) -> None:
    out, err = connect(echo_url, "--json", stdin=b"hi\n")
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["connecting", "connected", "sent", "received", "disconnected"]
    assert events[3]["text"] == "hi"
    assert events[4]["code"] == 1000
    assert err == ""


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        (b"done\n", 0, "disconnected: 1000 done"),
        (b"bye\n", 1, "disconnected: 4500 go away"),
        (b"cut\n", 1, "disconnected: 1006"),
    ],
)
def test_the_exit_code_tells_a_clean_close_from_another(echo_url: str, typed: bytes, code: int, told: str) -> None:
    _, err = connect(echo_url, "--wait", "inf", stdin=typed, code=code)
    assert told in err


def test_reconnection_on_request_sends_what_is_left(echo_url: str) -> None:
    out, err = connect(echo_url, "--attempts", "5", "--wait", "3", stdin=b"cut\n")
    assert "reconnecting 1 of 5" in err
    assert err.count("connected\n") >= 2
    assert out == ""


def test_where_nobody_answers_it_fails(free_port: int) -> None:
    _, err = connect(f"ws://127.0.0.1:{free_port}", code=1)
    assert "cannot connect to ws://127.0.0.1" in err


def test_headers_origin_token_and_protocol_reach_the_server(echo_url: str) -> None:
    arguments = ("--header", "Cookie: a=b", "--origin", "https://o.example", "--protocol", "chat")
    out, err = connect(echo_url, *arguments, stdin=b"headers\n", CHAPPE_TOKEN="t0k")
    for text in ("'Cookie': 'a=b'", "'Origin': 'https://o.example'", "'Authorization': 'Bearer t0k'"):
        assert text in out
    assert "connected, speaking chat" in err


def test_pretty_lays_json_out(echo_url: str) -> None:
    assert connect(echo_url, "--pretty", stdin=b'{"a":1}\n')[0] == '{\n  "a": 1\n}\n'


def test_a_chat_line_reaches_the_channel(run: Run, hub_url: str) -> None:
    out, err = connect(hub_url, "--name", "Cy", "--channel", "chat/pipe", stdin=b"hi\n")
    assert out == "Cy: hi\n"
    assert "connected, speaking chappe.v1" in err
    line = run("sub", "chat/pipe", "--since", "latest", "--count", "1", "--json", "--url", hub_url).stdout
    assert json.loads(line)["data"] == {"type": "message", "content": "hi", "username": "Cy"}


def test_wrong_use_is_one_line(run: Run) -> None:
    for arguments, told in [
        (("foo://x",), "expected ws://HOST:PORT/PATH"),
        (("ws://h", "--header", "x"), "expected 'Name: value'"),
        (("wss://h", "--key", "k"), "--key needs --cert"),
        (("wss://h", "--ca", "/nowhere"), "/nowhere: No such file"),
        ((), "URL"),
    ]:
        result = run("connect", *arguments)
        assert result.exit_code in (1, 2)
        assert told in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for localhost that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    write_certificate(folder)
    return folder


def write_certificate(folder: Path) -> None:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture(scope="module")
def secure_url(certificates: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    with serve(misbehave, "127.0.0.1", 0, ssl=context) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"wss://localhost:{port_of(server)}"
        server.shutdown()
        thread.join()


def test_a_certificate_of_nobodys_is_refused_by_name(secure_url: str) -> None:
    _, err = connect(secure_url, code=1)
    assert "signed by itself" in err


def test_an_authority_of_ones_own_is_trusted(secure_url: str, certificates: Path) -> None:
    assert connect(secure_url, "--ca", str(certificates / "cert.pem"), stdin=b"hi\n")[0] == "hi\n"


def test_a_certificate_for_another_name_is_refused(secure_url: str, certificates: Path) -> None:
    url = secure_url.replace("localhost", "127.0.0.1")
    _, err = connect(url, "--ca", str(certificates / "cert.pem"), code=1)
    assert "its certificate is for another address" in err


def test_insecure_is_loud(secure_url: str) -> None:
    out, err = connect(secure_url, "--insecure", stdin=b"hi\n")
    assert out == "hi\n"
    assert err.startswith("WARNING: certificates are not checked")


def test_a_client_certificate_is_loaded(secure_url: str, certificates: Path) -> None:
    files: list[Any] = [certificates / "cert.pem", certificates / "key.pem"]
    arguments = ("--ca", str(files[0]), "--cert", str(files[0]), "--key", str(files[1]))
    assert connect(secure_url, *arguments, stdin=b"hi\n")[0] == "hi\n"
