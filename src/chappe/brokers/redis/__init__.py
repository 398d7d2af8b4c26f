"""Publications kept by Redis or Valkey and shared by every hub that uses the same one.

Everything of a channel is done by one script at a time on one server, which also sends the publication to the hubs that
follow the channel; so the order of the store is the order of the feed.
"""
