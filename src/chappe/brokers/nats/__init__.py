"""Publications kept and spread by NATS with JetStream.

- options: what the URL says
- subjects: channels and patterns as subjects
- record: what one message holds
- connection: one life of a connection to one server
- streams: the streams, who they are, and what is asked of them
- channels: what is known of a channel, and what waits in it
- acks: what a stream answers
- conditions: under which conditions it stores a message
- births: the marks that name a channel's life
- publishing: appends on their way
- feed: what comes back, in order and once
- reading: history and the log
- broker: puts them together and keeps the connection
- examination: what the servers say of themselves
- local: a server of one's own, as a child process
"""
