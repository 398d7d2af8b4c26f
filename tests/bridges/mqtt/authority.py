"""Certificates for a broker and its clients, made by openssl."""

import subprocess
from pathlib import Path


class Authority:
    """An authority with a certificate for 127.0.0.1 and one for a client."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.pem"
        _run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
             "-keyout", folder / "ca.key", "-out", self.ca)  # fmt: skip
        self.server = self._signed("server", "subjectAltName=IP:127.0.0.1")
        self.client = self._signed("client", "extendedKeyUsage=clientAuth")

    def lines(self, *, client: bool = False) -> tuple[str, ...]:
        """Return what mosquitto's configuration says about them."""
        common = (f"cafile {self.ca}", f"certfile {self.server}.pem", f"keyfile {self.server}.key")
        return (*common, "require_certificate true") if client else common

    def _signed(self, name: str, extension: str) -> Path:
        base = self.folder / name
        (self.folder / f"{name}.ext").write_text(extension)
        _run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
             "-keyout", f"{base}.key", "-out", f"{base}.csr")  # fmt: skip
        _run("x509", "-req", "-in", f"{base}.csr", "-CA", self.ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial",
             "-days", "2", "-extfile", f"{base}.ext", "-out", f"{base}.pem")  # fmt: skip
        return base


def _run(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
