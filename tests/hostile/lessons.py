"""What went wrong in other realtime servers, and the inputs and tests that keep it from happening here.

Each lesson names cases of its published record; `inputs` are of the catalogue (`table: name`), `tests` stand in other
files: at least the case and its neighbour.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Lesson:
    """One way to fail.

    Attributes:
        text: in English and in French.
        cases: published ones.
        inputs: `table: name` in the catalogue.
        tests: `path::name`.
    """

    text: tuple[str, str]
    cases: str
    inputs: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()


_JWT: Final = "tests/auth/test_jwt.py::"
_MESSAGES: Final = "tests/hostile/test_messages.py::"
_POLLS: Final = "tests/hostile/test_polls.py::"

LESSONS: Final = (
    Lesson(
        ("a limit checked before inflating, or inflating to the end", "une limite vérifiée avant de décompresser"),
        "CVE-2016-10544, CVE-2018-1000518, CVE-2025-69223",
        ("inflate: 50 MiB of zeros in 48 KB", "inflate: one byte over the limit, inflated", "bodies: gzip"),
    ),
    Lesson(
        (
            "work that grows faster than the input; RSV1 without agreement",
            "un travail qui croît plus vite que l'entrée",
        ),
        "CVE-2026-59881",
        ("inflate: half a million final blocks", "inflate: a thousand final blocks"),
        ("tests/hostile/test_compression.py::test_ws_3_rsv1_without_agreement_is_1002",),
    ),
    Lesson(
        ("tiny, empty or endless fragments", "fragments minuscules, vides ou sans fin"),
        "CVE-2026-48779, CVE-2026-62389",
        ("inflate: 65 empty fragments", "inflate: 65 fragments of a byte", "frames: fragments over it together"),
    ),
    Lesson(
        ("half-received messages kept for ever", "messages à moitié reçus gardés pour toujours"),
        "CVE-2026-33151, CVE-2026-48804",
        ("msgpack: a map that breaks off", "inflate: a block that breaks off"),
        ("tests/hostile/test_frames.py::test_a_frame_that_breaks_off_harms_nobody",),
    ),
    Lesson(
        ("no limit by default", "aucune limite par défaut"),
        "CVE-2016-10542, CVE-2020-36048, CVE-2026-44545",
        ("frames: one byte over, announced", "frames: 2^63 - 1, announced", "bodies: 2 MiB in chunks"),
    ),
    Lesson(
        ("handshakes: lists of headers, regular expressions, leaks", "ouvertures : listes d'en-têtes, fuites"),
        "CVE-2024-37890, CVE-2021-32640, CVE-2020-7662",
        ("handshakes: 120 headers", "offers: 500 parameters and an open quote", "declined offers: 4,000 commas"),
    ),
    Lesson(
        ("programs that read one request differently", "des programmes qui lisent différemment une requête"),
        "CVE-2026-69243, CVE-2025-69224, CVE-2026-44546",
        ("handshakes: a body that is frames", "handshakes: line ends of LF", "heads: a length in Arabic digits"),
    ),
    Lesson(
        ("one bad message ends the process", "un seul message termine le processus"),
        "CVE-2022-21676, CVE-2023-32695, CVE-2024-38355, CVE-2026-59724",
        ("polls: a session that is __proto__", "bodies: __proto__", "handshakes: random bytes"),
    ),
    Lesson(
        ("an error of polling that is never answered", "une erreur d'interrogation sans réponse"),
        "CVE-2026-59725",
        ("polls: a timeout of 1e400", "polls: a session of control characters"),
    ),
    Lesson(
        ("Origin unchecked, or a wildcard that takes too much", "Origin non vérifié, ou joker trop large"),
        "CVE-2019-13611, CVE-2020-28481, CVE-2022-42975",
        (
            "handshakes: an Origin that begins like ours",
            "handshakes: Origin null",
            "streams: a foreign Origin",
            "cookies: no Origin",
            "cookies: an Origin that begins like ours",
        ),
    ),
    Lesson(
        ("joins and queues without end", "inscriptions et files sans fin"),
        "CVE-2026-56811, CVE-2026-95845",
        ("streams: 1,000 channels",),
        (_MESSAGES + "test_ch_8_5_ten_thousand_subscriptions_end_at_128",),
    ),
    Lesson(
        ("memory before the login", "mémoire avant l'authentification"),
        "CVE-2017-7651, CVE-2023-0809, CVE-2021-33175",
        ("frames: to classic before the login", "handshakes: a head of 20,000 bytes without an end"),
        (_MESSAGES + "test_cl_7_1_binary_before_the_login_is_116",),
    ),
    Lesson(
        ("odd messages that leak", "messages étranges qui fuient"),
        "CVE-2017-7654, CVE-2023-3592",
        ("msgpack: bytes behind a map",),
        (
            "tests/hostile/test_compression.py::test_ten_bombs_one_after_the_other_leave_nothing",
            _MESSAGES + "test_clients_that_vanish_in_the_middle_of_everything_harm_nobody",
        ),
    ),
    Lesson(
        ("a way around the rights", "un chemin qui contourne les droits"),
        "CVE-2018-12546, CVE-2021-34434, CVE-2026-33217",
        ("commands: a pattern over the hub's own channels", "streams: another user's channel"),
        ("tests/hub/test_authorize_everywhere.py::test_a_command_reaches_nothing_before_it_is_authorized",),
    ),
    Lesson(
        ("wildcards in identities; sessions that others take", "jokers dans les identités ; sessions volées"),
        "CVE-2017-7650, CVE-2026-33215, CVE-2026-57967",
        ("channels: NUL", "signed tokens: a subject that is a pattern", "signed tokens: a subject with a slash"),
        (
            "tests/hub/test_connecting.py::test_a_handle_is_bound_to_its_user",
            _MESSAGES + "test_a_handle_that_is_guessed_resumes_nothing",
        ),
    ),
    Lesson(
        ("keys of a cache that two things share", "clés de cache ambiguës"),
        "CVE-2026-39972, CVE-2026-49998",
        ("bodies: a parameter twice", "heads: two Hosts", "cookies: two of one name"),
        (
            "tests/auth/test_issuers.py::test_one_kid_of_two_issuers_is_two_keys",
            "tests/hub/test_permissions.py::test_nobody_inherits_the_right_to_another_users_own_channel",
        ),
    ),
    Lesson(
        ("open when something fails", "ouvert quand quelque chose échoue"),
        "CVE-2017-7652, CVE-2018-12550",
        ("tokens: nothing", "tokens: an empty header", "key sets: nothing", "key sets: status 401 with keys"),
        (_JWT + "test_a_missing_key_file_is_refused_by_name",),
    ),
    Lesson(
        ("tokens: algorithms, keys from elsewhere, expiry", "jetons : algorithmes, clés venues d'ailleurs, expiration"),
        "CVE-2026-32301, CVE-2022-29217, CVE-2024-53861, CVE-2026-32597, CVE-2020-26892",
        (
            "tokens: alg none",
            "tokens: a key from elsewhere",
            "tokens: an unknown crit",
            "tokens: a key id that climbs",
            "signed tokens: an audience that begins like ours",
            "signed tokens: no exp",
            "signed tokens: HS512 where HS256 is expected",
            "signed tokens: alg that comes twice",
            "key sets: a secret",
            "key sets: a redirect to metadata",
            "other keys: where to find more",
        ),
        (_JWT + "test_a_token_is_worth_nothing_from_the_moment_of_exp_on",),
    ),
    Lesson(
        ("objects and answers of others from the bus", "objets et réponses d'autrui venus du bus"),
        "CVE-2025-61765, CVE-2023-28858",
        (),
        (
            "tests/brokers/redis/test_broker.py::test_a_message_that_no_hub_sent_is_counted_and_ignored",
            "tests/brokers/redis/test_entries.py::test_anything_else_is_a_value_error",
        ),
    ),
    Lesson(
        ("decoders: depth, hashes that collide", "décodeurs : profondeur, collisions"),
        "CVE-2026-45591, CVE-2026-48509, CVE-2026-56170",
        ("msgpack: lists in lists, 60,000 deep", "msgpack: names of one hash", "bodies: depth 10,000"),
    ),
    Lesson(
        ("patterns that are regular expressions", "motifs traités en expressions régulières"),
        "GHSA-2hjf-7455-w946",
        ("commands: a wildcard within a segment", "streams: a wildcard within a segment"),
        ("tests/hub/test_pattern_index.py::test_the_longest_names_and_patterns_do_not_exhaust_the_stack",),
    ),
    Lesson(
        ("secrets shown, identities believed", "secrets montrés, identités crues"),
        "CVE-2026-33216, CVE-2026-33223, CVE-2021-33880",
        ("tokens: an identity from a proxy that is none", "proxies: an identity"),
        ("tests/test_telemetry.py::test_a_jwt_is_redacted_wherever_it_stands",),
    ),
    Lesson(
        ("paths that climb, logs that flood", "chemins qui remontent, journaux inondés"),
        "CVE-2022-26652, CVE-2025-69226, CVE-2025-47287",
        ("paths: two dots, encoded twice", "paths: backslashes, encoded", "paths: line ends, encoded"),
        (_MESSAGES + "test_random_text_is_107_a_thousand_times",),
    ),
)
