"""In a terminal `chappe connect` edits, remembers, colours, and shows its state."""

import signal
from pathlib import Path

import pytest

from .terminal_program import TerminalProgram

pytestmark = pytest.mark.slow


def test_a_conversation_with_any_server(echo_url: str, tmp_path: Path) -> None:
    with TerminalProgram(["connect", echo_url], tmp_path) as program:
        program.wait_for("connected")
        program.wait_for("type to send, /help for commands")
        program.wait_for(f"connected | {echo_url}/")
        program.type("hello\r")
        program.wait_for("> hello")
        program.wait_for("< hello")
        program.type("\r")
        program.type("/binary 00 ff\r")
        program.wait_for("< binary, 2 bytes: 00 ff")
        program.wait_for("sent 2")
        program.type("/help\r")
        program.wait_for("/close [CODE [REASON]]")
        program.type("/ping\r")
        program.wait_for("pong after ")
        program.type("/close 4001 later\r")
        program.wait_for("disconnected: 4001 later")
        program.type("lost\r")
        program.wait_for("offline, not sent: /open connects again")
        program.type("/open\r")
        program.wait_for("connected")
        program.type("/quit\r")
        assert program.wait_for_end() == 0
        assert "\x1b[0;3" in program.raw, "there are colours"


def test_lines_are_edited_and_remembered_between_programs(echo_url: str, tmp_path: Path) -> None:
    with TerminalProgram(["connect", echo_url], tmp_path) as program:
        program.wait_for("received 0")
        program.type("helo\x1b[Dl\r")  # left, then the missing letter
        program.wait_for("< hello")
        program.type("\x04")  # Ctrl-D
        assert program.wait_for_end() == 0
    history = tmp_path / ".local" / "state" / "chappe" / "connect_history"
    assert history.stat().st_mode & 0o077 == 0
    with TerminalProgram(["connect", echo_url], tmp_path) as program:
        program.wait_for("received 0")
        program.type("\x1b[A\r")  # up
        program.wait_for("< hello")


def test_a_cut_is_shown_with_its_attempts_and_survived(echo_url: str, tmp_path: Path) -> None:
    with TerminalProgram(["connect", echo_url], tmp_path) as program:
        program.wait_for("received 0")
        program.type("cut\r")
        program.wait_for("disconnected: 1006")
        program.wait_for("reconnecting 1 of 10")
        program.wait_for("connected")
        program.type("again\r")
        program.wait_for("< again")


def test_a_refusal_leaves_the_person_offline_and_fails_at_the_end(echo_url: str, tmp_path: Path) -> None:
    with TerminalProgram(["connect", echo_url], tmp_path) as program:
        program.wait_for("received 0")
        program.type("bye\r")
        program.wait_for("disconnected: 4500 go away")
        program.wait_for("offline | ")
        program.type("/quit\r")
        assert program.wait_for_end() == 1


def test_ctrl_c_interrupts(echo_url: str, tmp_path: Path) -> None:
    with TerminalProgram(["connect", echo_url], tmp_path) as program:
        program.wait_for("received 0")
        program.type("\x03")
        assert program.wait_for_end() == 130


def test_a_server_cannot_move_the_cursor(echo_url: str, tmp_path: Path) -> None:
    with TerminalProgram(["connect", echo_url], tmp_path) as program:
        program.wait_for("received 0")
        program.type("/binary 41\r")
        program.wait_for("< binary")
        program.type("bytes\r")
        program.wait_for("< binary, 4 bytes: 00 ff 61 62")
        program.type('{"a":"\\u001b[2J"}\r')
        program.wait_for("< {")
        assert "\x1b[2J" not in program.raw


def test_no_color_is_obeyed(echo_url: str, tmp_path: Path) -> None:
    with TerminalProgram(["connect", echo_url], tmp_path, NO_COLOR="1") as program:
        program.wait_for("received 0")
        program.type("hello\r")
        program.wait_for("< hello")
        assert "\x1b[3" not in program.raw
        assert "\x1b[0;3" not in program.raw


def test_two_terminals_chat_on_a_hub(hub_url: str, tmp_path: Path) -> None:
    room = ["--channel", "chat/terminal"]
    with TerminalProgram(["connect", hub_url, "--name", "Ada", *room], tmp_path) as ada:
        ada.wait_for("here: Ada")
        with TerminalProgram(["connect", hub_url, "--name", "Blaise", *room], tmp_path) as blaise:
            ada.wait_for("Blaise joins")
            blaise.wait_for("here: Ada, Blaise")
            blaise.type("salut é\r")
            ada.wait_for("Blaise: salut é")
            ada.type("bonjour\r")
            blaise.wait_for("Ada: bonjour")
            blaise.process.send_signal(signal.SIGKILL)
        ada.wait_for("Blaise leaves")


def test_the_terminal_speaks_french(echo_url: str, tmp_path: Path) -> None:
    with TerminalProgram(["connect", echo_url], tmp_path, LANG="fr_FR.UTF-8") as program:
        program.wait_for("connexion à ws://")
        program.wait_for("tapez pour envoyer")
        program.wait_for("connecté | ws://")
