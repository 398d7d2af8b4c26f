"""Which epochs a session was told: of the channels told last all, of others that nothing is known any more."""

from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.told_epochs import ToldEpochs

_CHANNELS = st.integers(0, 700).map(str)


@given(st.lists(st.tuples(_CHANNELS, st.sampled_from("abc")), max_size=1_500))
def test_the_last_512_channels_are_known_and_no_other_is_taken_for_any(told: list[tuple[str, str]]) -> None:
    epochs, model = ToldEpochs(), dict[str, str]()
    for channel, epoch in told:
        epochs.remember(channel, epoch)
        model.pop(channel, None)
        model[channel] = epoch
    forgot = len(model) > 512
    for channel, epoch in list(model.items())[-512:]:
        assert epochs.get(channel) == epoch
    # "" would let a publish pass whatever became of the channel.
    assert epochs.get("never told") == ("?" if forgot else "")
    for channel in list(model)[:-512]:
        assert epochs.get(channel) == "?"


def test_one_channel_costs_no_table() -> None:
    epochs = ToldEpochs()
    for epoch in "abc":
        epochs.remember("a", epoch)
        assert epochs.get("a") == epoch
    assert epochs.get("b") == ""
