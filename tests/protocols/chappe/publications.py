"""Publications of every kind, for property tests of encoders."""

import msgspec
from hypothesis import strategies as st

from chappe.model.publication import Kind, Publication, Sender

TEXT = st.text(max_size=12)
JSON_TEXT = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
).map(msgspec.json.encode)

PAYLOADS = st.one_of(
    st.tuples(st.just(Kind.JSON), JSON_TEXT),
    st.tuples(st.just(Kind.TEXT), TEXT.map(str.encode)),
    st.tuples(st.just(Kind.BINARY), st.binary(max_size=30)),
)
SENDERS = st.none() | st.builds(Sender, st.none() | TEXT, TEXT, TEXT)


@st.composite
def publications(draw: st.DrawFn) -> Publication:
    """Draw a publication: kept or transient, of a client or a backend, of any payload."""
    kind, payload = draw(PAYLOADS)
    transient = draw(st.booleans())
    return Publication(
        draw(TEXT),
        payload,
        kind,
        0 if transient else draw(st.integers(1, 2**53)),
        "" if transient else draw(st.text("0123456789abcdef", min_size=1, max_size=12)),
        draw(st.integers(0, 4_102_444_800_000)),
        draw(SENDERS),
        draw(st.none() | TEXT),
        draw(st.none() | st.dictionaries(TEXT, TEXT, max_size=2)),
        0,
        draw(st.booleans()),
        transient,
    )
