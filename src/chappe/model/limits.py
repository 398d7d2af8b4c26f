"""The limits of a hub, each with its unit in its name and a default with a reason."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may use before it is told to stop.

    Attributes:
        message_bytes: largest payload; above: error 113, skipped. 64 KiB is what OWASP and most hubs take.
        frame_bytes: largest carrier message; above: close 1009. 1 MiB bounds what one peer can make us buffer.
        message_fragments: of one message, empty ones included; above: close 1008. Each costs more than its bytes.
        send_queue_bytes: what may wait for a slow reader before its channel's policy acts; 1 MiB as Centrifugo.
        send_queue_messages: the same in messages; 0 is no limit (preset strict: 1,000).
        connections_per_address: open WebSockets of one address (IPv6: one /64); above: close 3504. As many other TCP
            connections may be open; above: cut at once.
        unauthenticated_connections: sessions that have not said who they are, in all, where anonymous is refused;
            above: 503. Each may hold a connection for `handshake_timeout_s`.
        unauthenticated_per_address: the same of one address. Half of what it may have once it is known: after a restart
            an office comes back all at once.
        connects_per_s: new sessions of all addresses together; above: 503 with a time to come back that is not the same
            for all, so that those who lost another hub do not come as an avalanche. 0 is no limit.
        connects_burst: sessions that may begin at once before `connects_per_s` counts.
        address_connects_per_s: new connections of one address (IPv6: one /64); above: nothing is read of them until it
            is their turn, and who would wait for more than 5 s is cut. Twenty a second are an office that comes back,
            and too few to make work with handshakes. 0 is no limit.
        address_connects_burst: connections that may come at once before `address_connects_per_s` counts.
        memory_bytes: of the process; above, new sessions are refused (503) and those that are here go on. 0: nine
            tenths of what the machine or container has left for it at the start.
        loop_lag_s: how late the event loop may be three times in a row; above, new sessions are refused (503). Half a
            second is felt by everybody. 0 is no limit.
        channels_per_client: subscriptions of one session; 128 as Centrifugo.
        messages_per_s: sustained commands of one session a second; above: error 111. 0 is no limit.
        messages_burst: commands that may come at once before `messages_per_s` counts.
        user_messages_per_s: the same of all sessions of one authenticated user together; above: error 111. 0: no limit.
        user_messages_burst: what they may send at once.
        address_messages_per_s: the same of all sessions of one address (IPv6: one /64); above: error 111. 0, the
            default, is no limit: a whole office may be one address.
        address_messages_burst: what they may send at once.
        channel_bytes: longest channel name.
        json_depth: deepest nesting of a payload; parsers of clients are recursive.
        json_keys: most object members in a payload.
        history_page: publications in one history answer.
        history_page_bytes: size of one history answer, 200 bytes counted for each publication beside its payload;
            above, fewer are given. 1 MiB: 40 bytes of request must not bring more than any client takes in a frame.
        recovery_publications: longest gap that is filled; above: recovered false.
        recovery_bytes: largest gap that is filled, 200 bytes counted for each publication beside its payload; above:
            recovered false. 16 MiB: 100 bytes of request must not queue ten thousand messages of the largest size.
        recovery_cache_bytes: what may be kept of what channels brought lately, for clients that come back; a quarter of
            it for one channel. 64 MiB is a thousand publications in each of a hundred busy channels. 0 keeps nothing.
        hook_queue_frames: frames of one session that wait for its running hook before its reading stops.
        batch_commands: commands in one frame; above: one error 107 for the frame. A megabyte has room for half a
            million empty ones, whose answers would be fifty times that; no client has 20,000 things to say at once.
        calls_in_flight: rpc calls of one session that are not answered yet; above: error 106.
        relay_bytes: what may wait at all readers together before another large binary frame is refused (111); each
            reader counts, though one frame's bytes are shared. 1 GiB takes a 16 MiB file to 63 readers at once.
        presence_members: above so many members only counts are told.
        handshake_timeout_s: from the connection to the first command, where anonymous is refused.
        ping_interval_s: between the hub's pings.
        sse_heartbeat_s: between comments on a stream of events; 15 s is below the 30 s after which strict proxies end
            a silent connection.
        pong_timeout_s: from a ping to any frame of the peer.
        message_timeout_s: from the first byte of a message to its last; above: close 1008. A byte a second would hold
            the connection and its buffer for ever.
        idle_timeout_s: without any frame; twice the ping would cut sleeping phones.
        background_idle_s: the same for a session in background.
        name_probe_s: how long the holder of a wanted name has to show that it lives.
        resume_window_s: how long a session's handle is worth something after its connection was lost.
    """

    message_bytes: int = 65_536
    frame_bytes: int = 1_048_576
    message_fragments: int = 64
    send_queue_bytes: int = 1_048_576
    send_queue_messages: int = 0
    connections_per_address: int = 100
    unauthenticated_connections: int = 1_000
    unauthenticated_per_address: int = 50
    connects_per_s: float = 0.0
    connects_burst: int = 200
    address_connects_per_s: float = 20.0
    address_connects_burst: int = 200
    memory_bytes: int = 0
    loop_lag_s: float = 0.5
    channels_per_client: int = 128
    messages_per_s: float = 50.0
    messages_burst: int = 200
    user_messages_per_s: float = 0.0
    user_messages_burst: int = 400
    address_messages_per_s: float = 0.0
    address_messages_burst: int = 1_000
    channel_bytes: int = 255
    json_depth: int = 32
    json_keys: int = 1_000
    history_page: int = 1_000
    history_page_bytes: int = 1_048_576
    recovery_publications: int = 10_000
    recovery_bytes: int = 16_777_216
    recovery_cache_bytes: int = 67_108_864
    hook_queue_frames: int = 64
    batch_commands: int = 20_000
    calls_in_flight: int = 64
    relay_bytes: int = 1_073_741_824
    presence_members: int = 200
    handshake_timeout_s: float = 10.0
    ping_interval_s: float = 25.0
    sse_heartbeat_s: float = 15.0
    pong_timeout_s: float = 10.0
    message_timeout_s: float = 30.0
    idle_timeout_s: float = 300.0
    background_idle_s: float = 600.0
    name_probe_s: float = 2.0
    resume_window_s: float = 120.0
