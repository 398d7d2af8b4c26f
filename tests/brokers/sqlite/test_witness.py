"""The witness says what was written last, or nothing."""

from pathlib import Path

import pytest

from chappe.brokers.sqlite.witness import Statement, Witness, boot_id

SAID = Statement(12, 7, "b00t-id", clean=False, relaxed=True)


def written(path: Path, *testimonies: Statement) -> bytes:
    witness = Witness(path)
    for each in testimonies:
        witness.write(each)
    witness.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    "said", [SAID, SAID._replace(boot=""), SAID._replace(clean=True, relaxed=False), SAID._replace(commit=1 << 62)]
)
def test_what_was_written_last_is_read(tmp_path: Path, said: Statement) -> None:
    written(tmp_path / "w", SAID._replace(commit=10**18), said)
    assert Witness(tmp_path / "w").read() == said


def test_every_flipped_bit_and_every_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "w"
    line = written(path, SAID)
    for bit in range(8 * len(line)):
        changed = bytearray(line)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert Witness(path).read() in (None, SAID)
    for cut in range(len(line)):
        path.write_bytes(line[:cut])
        assert Witness(path).read() is None
    path.write_bytes(line * 2)
    assert Witness(path).read() is None


def test_nothing_is_said_where_nothing_is(tmp_path: Path) -> None:
    assert Witness(tmp_path / "w").read() is None


def test_the_life_of_the_machine_has_one_name() -> None:
    assert boot_id() == boot_id()
    assert " " not in boot_id()
