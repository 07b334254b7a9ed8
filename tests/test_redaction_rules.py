"""What the redaction rules find in texts, documents and files, and what they leave alone."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from cloister.observer.redaction.console_redaction import ConsoleRedaction
from cloister.observer.redaction.file_redaction import redact_file
from cloister.observer.redaction.known_values import KnownValues, add_environment
from cloister.observer.redaction.marks import mark
from cloister.observer.redaction.own_rules import BadRedactionRule, OwnRules, parse_rules
from cloister.observer.redaction.text_redaction import TextRules
from cloister.observer.redaction.value_redaction import ValueRules
from hypothesis import given, settings
from hypothesis import strategies as st

# Put together here, so that no scanner of repositories takes this file for a leak.
GITHUB = "ghp" + "_abcdefghijklmnopqrstuvwxyz0123456789"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9"
KEY_LINES = "\n".join(f"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAA{n}" for n in range(6))
PRIVATE_KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY_LINES}\n-----END OPENSSH PRIVATE KEY-----"

# A text, and what must be gone from it.
FOUND: tuple[tuple[str, str], ...] = (
    ("password=hunter2", "hunter2"),
    ("Password: hunter2", "hunter2"),
    ("db.password='two words', user='ana'", "two words"),
    ('{"api_key": "abcd1234efgh"}', "abcd1234efgh"),
    ('{\\"password\\": \\"hunter2\\"}', "hunter2"),
    ("{'client_secret': 'swordfish'}", "swordfish"),
    ("\x1b[32mpassword\x1b[0m=\x1b[1mhunter2\x1b[0m", "hunter2"),
    ("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfi", "wJalrXUtnFEMI/K7MDENG/bPxRfi"),
    ("token=abcd1234efgh5678", "abcd1234efgh5678"),
    ("train.py --password hunter2 --lr 1", "hunter2"),
    ("train.py --db-password=hunter2", "hunter2"),
    ("mongodb://ana:hunter2@db:27017/x", "hunter2"),
    (f"https://{GITHUB}@forge.lab.example.org/a.git", GITHUB),
    (f"https://x-access-token:{GITHUB}@forge/a.git", GITHUB),
    ("https://forge/?api_key=abcdefgh12&x=1", "abcdefgh12"),
    (f"key {AWS} of the cloud", AWS),
    ("Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef"),
    ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("curl -u ana:hunter2 http://x", "hunter2"),
    ("machine db login ana password hunter2", "hunter2"),
    (f"cookie {JWT};", JWT),
    ("os.environ['API_KEY'] = 'abcdef123'", "abcdef123"),
    ("def f(password: str = 'hunter2'):", "hunter2"),
    (f"it is\n{PRIVATE_KEY}\nso", "b3BlbnNza"),
    ("glpat" + "-abcdefghij0123456789", "abcdefghij0123456789"),
    ("sk" + "-abcdefghijklmnopqrstuvwx1234", "abcdefghijklmnopqrstuvwx1234"),
    ("hf" + "_abcdefghijklmnopqrstuvwxyzABCDEFGH", "abcdefghijklmnopqrstuvwxyz"),
    ("İ password=hunter2 İ", "hunter2"),  # letters whose small form is longer
)

# What trainings print, log and are written in.
LEFT_ALONE = (
    "tokens: 1234, tokens/s=812.5, num_tokens=512, max_token=100",
    "pad_token='[PAD]' eos_token=</s> bos_token='<s>' unk_token: <unk> next_token=the_following_word",
    "token: embeddings; token_type_ids: tensor([[0, 0, 1]]) token_acc=0.5",
    "password: must be at least 8 characters",
    "Password:",
    "password=None, secret=True, api_key=null, token=${TOKEN}, password=<hidden>, PASSWORD=$PASSWORD",
    "password = os.environ['PASSWORD']",
    "self.password = password",
    "secret = get_secret('name')",
    "usage: train.py [--password PASSWORD] [--token TOKEN]",
    "password_length=12 secret_name=database api_key_env=OPENAI_KEY key_size=2048 token_limit=8",
    "Key: encoder.layer.0.attention.key.weight value=3 sort_key=loss primary_key=id",
    "bearer authentication is required; basic configuration loaded",
    "mask-generation-network-large-0123456789 task-abcdefghijklmnopqrstuvwx1234",
    "https://user:password@host/ mongodb://{user}:{password}@db http://ana@host/x git@forge:team/x.git",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 9f86d081884c7d65",
    "2026-11-21 18:31:07,123 INFO epoch 3/10 step 1,234 loss=0.123 lr=3.0e-04 grad_norm: 1.2 12.3it/s",
    "Downloading https://data.lab.example.org/imagenet/train-00001-of-01024.tar?version=3 to /data/x",
    "the secret santa, the secret: nobody knows; credentials are checked",
    "see https://developer.example.org/docs/CSS/@media/x and http://localhost:8080/@vite/client",
    "token = r'[-!#$%&^_`|~0-9a-zA-Z]+' or token=([a-z0-9]+)",
    "no default password: `cloister user add` on the console; don't add login and password for other hosts",
    "[credentials]: https://docs.lab.example.org/credentials",
    "asialonger ghpages skimage hfbase xoxo eyjafjallajokull",
    "Author: Ana <ana@lab.example.org> 10.1.2.3",  # both only where a policy wants it
)


def redact(text: str, own: OwnRules | None = None, kind: Any = "text") -> tuple[str, list[str]]:
    found: list[str] = []
    return TextRules(own or OwnRules()).redact(text, found.append, kind), found


@pytest.mark.parametrize(
    ("text", "secret"), FOUND, ids=[text[:30].encode("unicode_escape").decode() for text, _ in FOUND]
)
def test_a_secret_is_taken_out_of_what_surrounds_it(text: str, secret: str) -> None:
    redacted, found = redact(text)
    assert secret not in redacted
    assert "[redacted:" in redacted
    assert len(found) == 1
    assert redact(redacted) == (redacted, []), "what is redacted stays as it is"
    assert redact(f"before\n{text}\nafter")[0] == f"before\n{redacted}\nafter"


def test_what_trainings_print_is_left_alone() -> None:
    assert [text for text in LEFT_ALONE if redact(text) != (text, [])] == []


def test_in_a_program_only_values_in_quotes_are_secrets() -> None:
    program = "password = load()\ntoken: str\nconnect(password=pw_of_db1, key=x)\nPASSWORD = 'hunter2'\n"
    assert redact(program, kind="code")[0] == program.replace("hunter2", mark("password"))


def test_addresses_and_mail_are_found_where_a_policy_wants_it() -> None:
    text = "mail ana.b@lab.example.org from 10.1.2.3 and 2001:db8::1, not 127.0.0.1, 1.2.3.4.5, 18:31:07 or a::b"
    redacted, found = redact(text, OwnRules(emails=True, addresses=True))
    assert redacted == (
        "mail [redacted:email] from [redacted:ip-address] and [redacted:ip-address], not 127.0.0.1, 1.2.3.4.5, "
        "18:31:07 or a::b"
    )
    assert sorted(found) == ["email", "ip-address", "ip-address"]


def test_own_rules_redact_by_expression_path_and_variable() -> None:
    own = parse_rules(
        {"patterns": {"patient": r"P-\d{6}", "room": r"room (\w+)"}, "config": ["lab.*"], "environment": ["SITE_*"]},
        "test",
    )
    known = KnownValues()
    add_environment(known, {"SITE_NAME": "north-wing-7", "PATH": "/usr/bin", "HOME": "/root"}, own.environment)
    texts = TextRules(own, known)
    noted: list[tuple[str, str]] = []
    values = ValueRules(own, texts, lambda where, rule: noted.append((where, rule)))
    assert values.text("P-123456 lies in room blue, north-wing-7, /usr/bin", "console") == (
        "[redacted:patient] lies in room [redacted:room], [redacted:environment], /usr/bin"
    )
    assert values.document({"lab": {"door": 17, "name": "x"}, "lr": 0.1}, "config") == {
        "lab": {"door": mark("config-path"), "name": mark("config-path")},
        "lr": 0.1,
    }
    assert ("config: lab.door", "config-path") in noted


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"patterns": {"x": "("}}, "no regular expression"),
        ({"patterns": {"x": "a*"}}, "matches an empty text"),
        ({"patterns": {"x": "(a+)+b"}}, "repeats what repeats"),
        ({"patterns": {"X y": "a"}}, "small letters"),
        ({"pattern": {"x": "a"}}, "there are only patterns, config"),
        ({"config": "lab.*"}, "no list of texts"),
        ({"emails": "yes"}, "neither true nor false"),
    ],
)
def test_a_rule_that_cannot_be_used_is_named_with_the_reason(table: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRedactionRule, match=words):
        parse_rules(table, "policy.toml")


def test_config_is_redacted_by_the_names_of_its_entries_and_its_values_are_known_afterwards() -> None:
    noted: list[tuple[str, str]] = []
    texts = TextRules(OwnRules())
    values = ValueRules(OwnRules(), texts, lambda where, rule: noted.append((where, rule)))
    config = {
        "lr": 0.1, "max_tokens": 4096, "tokenizer": "bpe", "pad_token": "[PAD]", "token": None, "layers": [1, 2],
        "db": {"user": "ana", "password": "hunter2x", "pin": 12}, "wandb": {"api_key": "0123456789abcdef"},
        "credentials": {"user": "ana", "phrase": "horse battery"}, "prompt": "The password of the castle is a riddle",
        "url": "postgres://ana:hunter2x@db/x", "api%2Ekey": "other", "password": 123456, "keys": ["a", "b"],
    }  # fmt: skip
    redacted = values.document(config, "config")
    assert redacted == {
        **config,
        "db": {"user": "ana", "password": mark("password"), "pin": 12},
        "wandb": {"api_key": mark("api-key")},
        "credentials": {"user": mark("secret"), "phrase": mark("secret")},
        "url": f"postgres://{mark('url-credentials')}@db/x",
        "password": mark("password"),
    }
    assert ("config: db.password", "password") in noted
    assert texts.redact("logged in with hunter2x", lambda _rule: None) == f"logged in with {mark('password')}"
    words = ["train.py", "--api-key", "abcdef123456", "with", "db.password=two words", "--lr", "0.1", "--token", "-x"]
    assert values.words(words, "command line") == [
        "train.py", "--api-key", mark("api-key"), "with", f"db.password={mark('password')}", "--lr", "0.1", "--token",
        "-x",
    ]  # fmt: skip


def test_files_are_redacted_by_their_kind_and_keep_all_other_bytes() -> None:
    texts, found = TextRules(OwnRules()), []  # type: ignore[var-annotated]
    settings_file = b"lr: 0.1\r\npassword: hunter2\r\n"
    assert redact_file(texts, "conf/a.yaml", settings_file, found.append) == settings_file.replace(
        b"hunter2", mark("password").encode()
    )
    for name, content in (
        ("model.bin", b"password=hunter2"),
        ("a.py", b"x = 1\n"),
        ("b.txt", b"\xff\xfepassword=hunter2"),
    ):
        assert redact_file(texts, name, content, found.append) is content
    latin = "n\xe4me = 'x'\npassword = 'hunter2'\n".encode("latin-1")
    assert redact_file(texts, "a.py", latin, found.append, is_text=True) == latin.replace(
        b"hunter2", mark("password").encode()
    )
    diff = "diff --git a/a.py b/a.py\n+password = make()\ndiff --git a/.env b/.env\n+PASSWORD=hunter2\n"
    assert redact_file(texts, "x.patch", diff.encode(), found.append).decode() == diff.replace(
        "hunter2", mark("password")
    )


def test_a_notebook_loses_the_secrets_of_its_cells_and_outputs_and_nothing_else() -> None:
    notebook = {
        "cells": [
            {"cell_type": "code", "source": ["import x\n", "password = 'hunter2'\n"], "outputs": [
                {"output_type": "stream", "text": ["password: swordfish\n", f"{PRIVATE_KEY}\n"]},
                {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo", "text/plain": [f"'{GITHUB}'"]}},
            ]},
            {"cell_type": "markdown", "source": "Nothing here"},
        ],
        "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    content = json.dumps(notebook, indent=1).encode()
    redacted = redact_file(TextRules(OwnRules()), "a.ipynb", content, lambda _rule: None)
    for secret in (b"hunter2", b"swordfish", b"b3BlbnNza", GITHUB.encode()):
        assert secret in content
        assert secret not in redacted
    known = json.loads(redacted)
    assert known["cells"][1] == notebook["cells"][1]  # type: ignore[index]
    assert known["cells"][0]["outputs"][1]["data"]["image/png"] == "iVBORw0KGgo"
    assert known["metadata"] == notebook["metadata"]


PRINTED = (
    "start of it\npassword=hunter2xyz and more\nlogin with password: 'two words here' ok\nmongodb://ana:s3cr3tpw@db/x\n"
    f"key {AWS} done\n{PRIVATE_KEY}\nAuthorization: Bearer abcdef0123456789abcdef\nsome zQ9-canary-4711 inside\n"
    f"{GITHUB} end\n--api-key ABCDEFGH1234 x\n"
    " 45%|\u2588\u2588\u258c  | 3/10\r 90%|\u2588\u2588\u2588\u258c | 9/10\r\nunfinished"
)
PRINTED_SECRETS = (
    "hunter2xyz", "words here", "s3cr3tpw", AWS, "b3BlbnNza", "abcdef0123456789abcdef", "zQ9-canary-4711", GITHUB,
    "ABCDEFGH1234",
)  # fmt: skip


def print_in_parts(parts: list[str]) -> tuple[str, list[str]]:
    known = KnownValues()
    known.add("zQ9-canary-4711", "token")
    console, found = ConsoleRedaction(TextRules(OwnRules(), known)), []  # type: ignore[var-annotated]
    recorded = "".join(console.add("stdout", part, found.append) for part in parts)
    return recorded + "".join(text for _, text in console.take_waiting(found.append, all_of_it=True)), found


def test_a_secret_that_is_cut_over_two_writes_is_found_wherever_it_is_cut() -> None:
    whole, found = print_in_parts([PRINTED])
    assert len(found) == len(PRINTED_SECRETS)
    assert not [secret for secret in PRINTED_SECRETS if secret in whole]
    for cut in range(1, len(PRINTED)):
        recorded, counted = print_in_parts([PRINTED[:cut], PRINTED[cut:]])
        assert recorded.replace("\n\n", "\n") == whole.replace("\n\n", "\n"), f"cut behind {PRINTED[cut - 20 : cut]!r}"
        assert sorted(counted) == sorted(found)


@given(st.lists(st.integers(1, len(PRINTED) - 1), max_size=12))
@settings(max_examples=60)
def test_a_secret_is_found_in_whatever_pieces_it_is_printed(cuts: list[int]) -> None:
    places = [0, *sorted(set(cuts)), len(PRINTED)]
    recorded, _ = print_in_parts([PRINTED[a:b] for a, b in pairwise(places)])
    assert not [secret for secret in PRINTED_SECRETS if secret in recorded or secret[-6:] in recorded]


@given(st.text(max_size=300), st.lists(st.integers(1, 299), max_size=5))
@settings(max_examples=100)
def test_text_without_secrets_comes_out_whole_however_it_is_cut(text: str, cuts: list[int]) -> None:
    places = [0, *sorted({cut for cut in cuts if cut < len(text)}), len(text)]
    recorded, found = print_in_parts([text[a:b] for a, b in pairwise(places)])
    if not found:
        assert recorded == text


def test_a_line_that_never_ends_is_recorded_but_for_its_last_characters() -> None:
    console = ConsoleRedaction(TextRules(OwnRules()))
    generator = random.Random(4)
    parts = ["".join(generator.choices("abc .", k=65536)) for _ in range(4)]
    recorded = [console.add("stdout", part, lambda _rule: None) for part in parts]
    assert all(len(one) > 60_000 for one in recorded)
    rest = console.take_waiting(lambda _rule: None, all_of_it=True)
    assert "".join(recorded) + rest[0][1] == "".join(parts)


HOSTILE = (
    "eyJ" * 30_000, "sk-" * 30_000, "bearer " * 10_000, "://a:b" * 20_000, "password=" * 10_000, "password='" * 10_000,
    "a." * 40_000 + "password=x", "--api-key " * 10_000, "-----BEGIN PRIVATE KEY-----" * 5_000, "1.1.1.1." * 10_000,
    "a@" * 40_000, ":a:" * 30_000, "\x1b[0m" * 20_000, "key" * 30_000 + "=", "curl -u a:" * 8_000, "{" * 50_000,
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_takes_for_ever(text: str) -> None:
    """A rule that went over its text again and again would take minutes here."""
    for kind in ("text", "code"):
        redact(text, OwnRules(emails=True, addresses=True), kind)
    print_in_parts([text[:65536], text[65536:]])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12) | st.sampled_from(
        ["password", "token", "secrets", "api%2Ekey", ""]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES, st.text(max_size=40))
@settings(max_examples=150)
def test_any_value_can_be_redacted_and_keeps_its_shape(value: Any, name: str) -> None:
    values = ValueRules(OwnRules(emails=True, addresses=True, config=("*.x",)), TextRules(OwnRules()), lambda *_: None)
    redacted = values.document({name: value}, "config")
    assert list(redacted) == [name]
    assert values.document(redacted, "config") == redacted or redacted != redacted  # NaN is not itself
    if isinstance(value, dict) and redacted[name] != mark("config-path"):
        assert list(redacted[name]) == list(value)


def test_a_key_that_breaks_off_takes_with_it_what_looks_like_a_key() -> None:
    begin, end = PRIVATE_KEY.split("\n", 1)[0], PRIVATE_KEY.rsplit("\n", 1)[1]
    assert redact(f"{begin}\n{KEY_LINES}\nloss: 0.5 | accuracy\n")[0] == (
        f"{mark('private-key')}\nloss: 0.5 | accuracy\n"
    )
    recorded, found = print_in_parts([f"{begin}\n", f"{KEY_LINES}\n", "loss | 0.5\n", f"{end}\n"])
    assert "b3BlbnNza" not in recorded
    assert recorded.endswith("loss | 0.5\n-----END OPENSSH PRIVATE KEY-----\n")
    assert found == ["private-key"]
