"""What our client does differently from that of the `websockets` library; imported at the first dial."""

from collections.abc import Sequence
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.extensions.base import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.typing import ExtensionParameter

#: Messages from this size on are compressed, as the hub does by default: below, it costs both sides more than it saves.
COMPRESSION_MIN_BYTES: Final = 1_024


class Peer(ClientProtocol):
    """The library's protocol, corrected."""

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame; a goodbye may come between the fragments of a message (RFC 6455, 5.4; Autobahn 7.1.5)."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class PeerConnection(ClientConnection):
    """The library's connection over the corrected protocol."""

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        # The library makes the protocol and asks for no class of it.
        protocol.__class__ = Peer
        super().__init__(protocol, **options)


class Deflate(PerMessageDeflate):
    """Compression that leaves short messages alone."""

    def encode(self, frame: Frame) -> Frame:
        """Compress a frame, unless it is a whole short message."""
        if frame.fin and frame.opcode is not Opcode.CONT and len(frame.data) < COMPRESSION_MIN_BYTES:
            return frame
        return super().encode(frame)


class DeflateOffer(ClientPerMessageDeflateFactory):
    """The offer of `Deflate`: any window, and no context kept from message to message on our side.

    What is compressed is large enough to be compressed by itself. A server may keep its context; the hub does not.
    """

    def __init__(self) -> None:
        super().__init__(client_no_context_takeover=True, client_max_window_bits=True)

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> Deflate:
        """Take what the server agreed to; it must be within what was offered.

        Raises:
            NegotiationError: it is not.
        """
        agreed = super().process_response_params(params, accepted_extensions)
        return Deflate(
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
            agreed.compress_settings,
        )
