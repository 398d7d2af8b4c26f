"""How hostile HTTP requests are written: a line and header fields, to which a right Host is added."""

from typing import Final

#: What a refusal of the hub itself may be; any other status has to stand in a table.
ENDS: Final = "Connection: close"


def request(line: str, *fields: str, body: bytes = b"", host: str = "127.0.0.1") -> bytes:
    """Return a request that asks for the end of the connection behind its answer."""
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: {host}", ENDS, *fields]).encode("latin-1") + b"\r\n\r\n" + body


def get(path: str, *fields: str) -> bytes:
    """Return a GET."""
    return request(f"GET {path}", *fields)


def post(path: str, body: bytes | str, *fields: str, kind: str = "application/json") -> bytes:
    """Return a POST of JSON with its length."""
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return request(f"POST {path}", f"Content-Type: {kind}", f"Content-Length: {len(data)}", *fields, body=data)


def chunked(path: str, body: bytes, *fields: str) -> bytes:
    """Return a POST whose body has the framing that is given."""
    return request(f"POST {path}", "Content-Type: application/json", "Transfer-Encoding: chunked", *fields, body=body)


def status_of(answer: bytes) -> int:
    """Return the status of the only answer; 0: the connection ended without one."""
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    return int(answer[9:12]) if answer else 0
