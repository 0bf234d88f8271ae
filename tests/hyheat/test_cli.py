"""The command line of explain, as scripts/decode starts it."""

from collections.abc import Callable
from contextlib import suppress
import io
import json
import os
from pathlib import Path
import pty
import subprocess
import sys
import threading
from typing import Any, override

import pytest

from custom_components.hy_heating.hyheat.cli import main
from custom_components.hy_heating.hyheat.explain import MAX_LENGTH
from custom_components.hy_heating.hyheat.frame import build
from tests.vectors import DAMAGED_FRAMES, FRAMES, MESSAGES, VALID_FRAMES, message, said_by

SCRIPT = Path(__file__).parents[2] / "scripts" / "_decode.py"
REPLY = "6853232273100011118404A01900321816"
DAMAGED = REPLY[:-4] + "1916"
UNKNOWN = build(0x54, bytes.fromhex("27100583001111"), 0x81, bytes.fromhex("90210007")).raw.hex()
READ = bytes.fromhex("FEFEFEFE6853232273100011110103901F005816").hex(" ").upper().split()
ACK = message("read_now_ack").decode()

type Shown = Callable[..., tuple[int, str]]

REPLY_SHOWN = """\
valve 23227310: reply to write (C=84, DI=A019)
offset  hex  meaning      value              grade
     0  68   start        start of frame     A
     1  53   device type  household valve    A
     2  23   address A0   23227310           A
     3  22   address A1   "                  A
     4  73   address A2   "                  A
     5  10   address A3   "                  A
     6  00   address A4   001111             A
     7  11   address A5   "                  A
     8  11   address A6   "                  A
     9  84   control      reply to write     A
    10  04   length       4 bytes            A
    11  A0   DI0          set valve opening  A
    12  19   DI1          "                  A
    13  00   SER          0                  A
    14  32   opening      50 %               A
    15  18   checksum     correct            A
    16  16   end          end of frame       A

"""
DAMAGE_SHOWN = """\
refused: checksum at offset 15
offset  hex  meaning      value  grade
     0  68   start
     1  53   device type
     2  23   address A0
     3  22   address A1
     4  73   address A2
     5  10   address A3
     6  00   address A4
     7  11   address A5
     8  11   address A6
     9  84   control
    10  04   length
    11  A0   DI0
    12  19   DI1
    13  00   SER
    14  32   data
    15  19   checksum
        ^^   expected 18, found 19
    16  16   end

"""


@pytest.fixture(autouse=True)
def no_color_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """Return a function that runs the command and returns its exit status and output."""

    def run(*arguments: str) -> tuple[int, str]:
        status = main(arguments)
        return status, capsys.readouterr().out

    return run


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Put bytes on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


class TestText:
    def test_a_frame(self, shown: Shown) -> None:
        assert shown(REPLY) == (0, REPLY_SHOWN)

    def test_a_damaged_frame(self, shown: Shown) -> None:
        assert shown(DAMAGED) == (1, DAMAGE_SHOWN)

    def test_several_inputs(self, shown: Shown) -> None:
        assert shown(REPLY, DAMAGED, REPLY) == (1, REPLY_SHOWN + DAMAGE_SHOWN + REPLY_SHOWN)

    def test_bytes_typed_one_by_one(self, shown: Shown) -> None:
        assert shown(*bytes.fromhex(REPLY).hex(" ").split()) == (0, REPLY_SHOWN)

    def test_two_bytes_are_one_input_too(self, shown: Shown) -> None:
        status, text = shown("68", "53")
        assert (status, text.count("refused: ")) == (1, 1)
        assert "     1  53   device type\n" in text

    def test_damage_behind_the_last_byte(self, shown: Shown) -> None:
        status, text = shown("FE6853")
        assert status == 1
        assert text == (
            "refused: length at offset 3\n"
            "offset  hex  meaning      value    grade\n"
            "     0  FE   preamble     wake-up  A\n"
            "     1  68   start\n"
            "     2  53   device type\n"
            "        ^^   expected a header of 11 bytes, found 2 bytes\n\n"
        )

    def test_damage_at_the_last_byte(self, shown: Shown) -> None:
        _, text = shown(REPLY[:-2] + "17")
        assert text.count("^^") == 1
        assert text.endswith("    16  17   end\n        ^^   expected 16, found 17\n\n")

    def test_an_unknown_layout(self, shown: Shown) -> None:
        status, text = shown(UNKNOWN)
        assert status == 1
        assert (
            "refused: layout at offset 1\n"
            "offset  hex  meaning       value               grade\n"
            "     0  68   start         start of frame      A\n"
            "     1  54   device type   unknown             A\n"
            "        ^^   expected a known device type, found 54\n"
        ) in text
        assert "    14  07   unidentified                      D\n" in text
        assert "open an issue at\nhttps://github.com/hy-heating/hy_heating/issues" in text

    def test_unknown_values(self, shown: Shown) -> None:
        raw = bytearray.fromhex(VALID_FRAMES[0]["hex"])
        # Another unit code: 05 becomes 06, so the checksum 73 becomes 74.
        raw[18], raw[-2] = 0x06, 0x74
        status, text = shown(raw.hex())
        assert status == 0
        assert "    14  12   heat energy                               unknown  " in text
        assert '    15  23   heat energy                               "        ' in text
        assert "    18  06   unit of heat energy                       unknown  " in text

    def test_numbers_of_bytes(self, shown: Shown) -> None:
        for data, said in ((b"\x07", "1 byte "), (b"\x07\x08", "2 bytes ")):
            _, text = shown(build(0x53, bytes(7), 0xC1, data).raw.hex())
            assert f"    10  0{len(data)}   length        {said}" in text

    def test_an_error_reply_to_something_unknown(self, shown: Shown) -> None:
        _, text = shown(build(0x53, bytes(7), 0xFF, b"\x07").raw.hex())
        assert text.startswith("valve 00000000: error reply (C=FF)\n")

    @pytest.mark.parametrize(
        ("text", "excerpt"),
        [
            ("685g", "  685g\n     ^ expected a hex digit, found 'g'\n"),
            ("", "  \n  ^ expected 68, found the end of the input\n"),
            ("68\n5", "  68?5\n     ^ expected two digits for each byte, found 3 digits\n"),
            ("00" * 40 + "x" + "0" * 90, f"  {'0' * 36}x{'0' * 35}\n  {' ' * 36}^ expected a hex"),
            ("\udcff", "  ?\n  ^ expected a hex digit, found '\\udcff'\n"),
            ('{"a":}', '  {"a":}\n       ^ expected JSON, found not JSON: Expecting value'),
            ("[]", "  []\n  expected the message must be an object, found list\n"),
        ],
    )
    def test_an_input_without_bytes(self, shown: Shown, text: str, excerpt: str) -> None:
        status, output = shown(text)
        assert status == 1
        assert excerpt in output

    def test_where_it_is_wrong_is_said_where_it_is_known(self, shown: Shown) -> None:
        assert shown("685g")[1].startswith("refused: hex at offset 3\n")
        assert shown("[]")[1].startswith("refused: json\n")

    def test_a_message(self, shown: Shown) -> None:
        status, text = shown(message("settings_reply").decode())
        assert status == 0
        assert text == (
            "msg_id 2, settings reply, gateway 02345678903\n"
            "  stat                        2, succeeded\n"
            "  interval_out_of_season_min  1440\n"
            "  season_start                09-01\n"
            "  season_end                  05-01\n"
            "  cabinet_interval_min        10\n"
            "  valve_interval_min          60\n"
            "  in_season_statistics        yes\n\n"
        )

    def test_a_message_with_frames(self, shown: Shown) -> None:
        assert shown(message("valve_set_50_reply_malformed").decode()) == (
            0,
            f"msg_id 40, transparent reply, gateway 02345678903\n  port  0\n\n{REPLY_SHOWN}",
        )

    def test_a_message_with_values_of_every_kind(self, shown: Shown) -> None:
        text = message("status_reply").decode().replace('"SINR":13,', "")
        _, output = shown(text)
        assert "  csq        99, 99\n" in output
        assert "  sinr_db    unknown\n" in output
        assert "  has_reset  no\n" in output

    def test_a_message_without_anything(self, shown: Shown) -> None:
        query = message("status_query").decode()
        assert shown(query) == (0, "msg_id 1, status query, gateway 02345678903\n\n")

    @pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector["name"])
    def test_every_vector(self, shown: Shown, vector: dict[str, Any]) -> None:
        status, text = shown(vector["hex"])
        assert status == (0 if vector["valid"] else 1)
        assert ("refused: " in text) == (not vector["valid"])


class TestJson:
    @pytest.mark.parametrize("vector", VALID_FRAMES, ids=lambda vector: vector["name"])
    def test_every_valid_vector(self, shown: Shown, vector: dict[str, Any]) -> None:
        status, text = shown("--json", vector["hex"])
        assert (status, text.count("\n")) == (0, 1)
        assert json.loads(text)["fields"] == said_by(vector)

    @pytest.mark.parametrize("vector", DAMAGED_FRAMES, ids=lambda vector: vector["name"])
    def test_every_damaged_vector(self, shown: Shown, vector: dict[str, Any]) -> None:
        status, text = shown("--json", vector["hex"])
        assert (status, text.count("\n")) == (1, 1)
        assert json.loads(text)["error"] == vector["error"]

    def test_one_object_a_line(self, shown: Shown) -> None:
        status, text = shown("--json", REPLY + REPLY, "zz", ACK, UNKNOWN)
        assert status == 1
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["ok"] for line in lines] == [True, True, False, True, False]
        assert lines[3]["fields"] == {"stat": 2}

    def test_without_spaces(self, shown: Shown) -> None:
        assert shown("--json", ACK) == (
            0,
            '{"ok":true,"msg_id":18,"gateway_id":"02345678903","fields":{"stat":2}}\n',
        )


class TestStandardInput:
    def test_a_line_each(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = [vector["hex"] for vector in FRAMES] + [vector["payload"] for vector in MESSAGES]
        feed(monkeypatch, "\n".join(lines).encode())
        status, text = shown("--json", "-")
        assert status == 1  # the damaged frames are among them
        oks = [json.loads(line)["ok"] for line in text.splitlines()]
        assert oks == [vector["valid"] for vector in FRAMES] + [True] * len(MESSAGES)

    def test_empty_lines(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        feed(monkeypatch, f"\n  \r\n{REPLY}\r\n\t\n".encode())
        assert shown("-") == (0, REPLY_SHOWN)

    def test_nothing(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        feed(monkeypatch, b"")
        assert shown("-") == (0, "")

    def test_bytes_that_are_no_text(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        feed(monkeypatch, b"\xff\x00\xfe\n{\xff}\n" + REPLY.encode())
        status, text = shown("--json", "-")
        assert status == 1
        first, second, third = map(json.loads, text.splitlines())
        assert (first["error"], first["offset"]) == ("hex", 0)
        assert (second["error"], second["offset"]) == ("json", 1)
        assert third["ok"] is True

    @pytest.mark.parametrize("more", [1, MAX_LENGTH, 5 * MAX_LENGTH])
    @pytest.mark.parametrize("char", ["0", "{"])
    def test_a_line_too_long(
        self, shown: Shown, monkeypatch: pytest.MonkeyPatch, more: int, char: str
    ) -> None:
        feed(monkeypatch, f"{char * (MAX_LENGTH + more)}\n{REPLY}\n".encode())
        status, text = shown("--json", "-")
        assert status == 1
        first, second = map(json.loads, text.splitlines())
        assert (first["ok"], first["offset"]) == (False, MAX_LENGTH)
        assert second["ok"] is True

    def test_the_longest_line(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        feed(monkeypatch, f"{REPLY.ljust(MAX_LENGTH, '0')}\n{REPLY}\n".encode())
        status, text = shown("--json", "-")
        assert (status, text.count("\n")) == (0, 2)

    def test_a_last_line_too_long_without_an_end(
        self, shown: Shown, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        feed(monkeypatch, b"\0" * (3 * MAX_LENGTH))
        status, text = shown("--json", "-")
        assert (status, text.count("\n")) == (1, 1)

    def test_spaces_count_as_length(self, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
        feed(monkeypatch, f"{REPLY.ljust(MAX_LENGTH + 1)}\n{REPLY}\n".encode())
        status, text = shown("--json", "-")
        assert status == 1
        assert [json.loads(line)["ok"] for line in text.splitlines()] == [False, True]

    def test_only_the_end_of_a_line_is_cut_off(
        self, shown: Shown, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        feed(monkeypatch, b"68X\r\n")
        _, text = shown("--json", "-")
        assert json.loads(text)["found"] == "'X'"

    def test_no_more_is_read_than_a_line_may_be_long(
        self, shown: Shown, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []

        class Watched(io.BytesIO):
            @override
            def readline(self, size: int | None = -1, /) -> bytes:
                asked.append(-1 if size is None else size)
                return super().readline(size)

        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Watched(b"0" * (3 * MAX_LENGTH))))
        shown("--json", "-")
        assert min(asked) > 0
        assert max(asked) == MAX_LENGTH + 1, "one more tells that it is too long"


class TestTerminal:
    def colored(self, *arguments: str) -> str:
        """Return what the command prints on a terminal."""
        leader, follower = pty.openpty()
        printed = bytearray()

        def read() -> None:
            with suppress(OSError):  # what a terminal says when nobody writes to it any more
                while part := os.read(leader, 4096):
                    printed.extend(part)

        reader = threading.Thread(target=read)
        reader.start()
        with (
            os.fdopen(follower, "w", encoding="utf-8") as terminal,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "stdout", terminal)
            main(arguments)
        reader.join()
        os.close(leader)
        return printed.decode().replace("\r\n", "\n")

    def test_colors(self) -> None:
        printed = self.colored(DAMAGED)
        assert printed.startswith("\x1b[1;31mrefused: checksum at offset 15\x1b[0m\n")
        assert "\x1b[1;31m        ^^   expected 18, found 19\x1b[0m\n" in printed
        assert "    14  32   data\n" in printed
        excerpt = self.colored("685g")
        assert "\n  \x1b[1;31m   ^ expected a hex digit, found 'g'\x1b[0m\n" in excerpt
        title = "msg_id 1, status query, gateway 02345678903"
        query = message("status_query").decode()
        assert self.colored(query) == f"\x1b[1m{title}\x1b[0m\n\n"

    def test_a_color_for_each_grade(self) -> None:
        printed = self.colored(VALID_FRAMES[0]["hex"])
        assert printed.startswith("\x1b[1mcabinet 27100583: reply to read data")
        for color, start in (("32", "start "), ("36", "heat energy "), ("33", "volume ")):
            assert f"\x1b[{color}m{start}" in printed
        assert "\x1b[90munidentified " in printed

    @pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
    def test_none_wanted(self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
        monkeypatch.setenv(variable, value)
        assert self.colored(REPLY) == REPLY_SHOWN

    def test_an_empty_no_color_means_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "")
        assert "\x1b[" in self.colored(REPLY)

    def test_json_is_never_colored(self) -> None:
        assert "\x1b[" not in self.colored("--json", REPLY)


class TestEndings:
    def test_nobody_reads_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w", encoding="utf-8") as closed:
            monkeypatch.setattr(sys, "stdout", closed)
            assert main([REPLY]) == 1

    def test_no_space_left(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            monkeypatch.setattr(sys, "stdout", full)
            assert main([REPLY]) == 1
        assert "No space left" in capsys.readouterr().err

    def test_interrupted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Interrupted(io.BytesIO):
            @override
            def readline(self, _size: int | None = -1, /) -> bytes:
                raise KeyboardInterrupt

        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Interrupted()))
        assert main(["-"]) == 130

    def test_an_output_that_is_no_stream(self, monkeypatch: pytest.MonkeyPatch) -> None:
        output = io.StringIO()
        monkeypatch.setattr(sys, "stdout", output)
        assert main([REPLY]) == 0
        assert output.getvalue() == REPLY_SHOWN

    def test_an_output_without_the_character(self, monkeypatch: pytest.MonkeyPatch) -> None:
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        assert main([VALID_FRAMES[0]["hex"]]) == 0
        assert rb"3456.78 m\xb3" in raw.getvalue()

    @pytest.mark.parametrize("arguments", [[], ["--no-such-option", REPLY], ["--json"]])
    def test_wrong_usage(self, arguments: list[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2

    def test_help(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            main(["--help"])
        assert caught.value.code == 0
        text = capsys.readouterr().out
        assert " ".join(READ) in text
        for part in ("Grades:", "Exit status:", "NO_COLOR", "examples:"):
            assert part in text
        assert " ".join(text.split()).startswith(
            "usage: scripts/decode [-h] [--json] HEX|JSON|- [HEX|JSON|- ...] "
            "Explain frames (CJ/T 188) and messages (JSON) of HY heating gateways: each byte with "
            "its offset, meaning, value and grade. A damaged frame is shown with the place of the "
            "damage, and nothing is read from it. "
            "positional arguments: HEX|JSON|- frames in hex, a message in JSON, or - for one of "
            "them a line from standard input "
            "options: -h, --help show this help message and exit "
            "--json print JSON, one object a line "
            "A hex string may hold"
        )

    def test_the_examples_of_the_help_are_good(self, shown: Shown) -> None:
        assert shown(*READ)[0] == 0
        assert shown(ACK)[0] == 0


class TestProcess:
    """The real thing: started as scripts/decode starts it, without Home Assistant."""

    def run(self, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, str(SCRIPT), *arguments],
            input=data,
            capture_output=True,
            timeout=30,
            check=False,
        )

    def test_a_frame(self) -> None:
        done = self.run(REPLY)
        assert (done.returncode, done.stdout.decode(), done.stderr) == (0, REPLY_SHOWN, b"")

    def test_standard_input(self) -> None:
        done = self.run("--json", "-", data=f"{REPLY}\n\xff\n".encode("latin-1"))
        assert (done.returncode, done.stdout.count(b"\n"), done.stderr) == (1, 2, b"")

    def test_an_argument_that_is_no_text(self) -> None:
        done = self.run("--json", os.fsdecode(b"\xff"))
        assert (done.returncode, done.stderr) == (1, b"")
        assert json.loads(done.stdout)["error"] == "hex"

    def test_a_closed_pipe_ends_quietly(self) -> None:
        with subprocess.Popen(
            [sys.executable, str(SCRIPT), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            process.stdin.write(f"{REPLY}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().startswith(b"valve 23227310")
            process.stdout.close()
            process.stdin.write(f"{REPLY}\n".encode() * 1000)
            process.stdin.close()
            assert process.stderr.read() == b""
            assert process.wait(30) == 1
