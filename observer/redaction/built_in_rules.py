"""The built-in rules for text: secrets that are known by their shape, or by what stands in front of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .marks import MARK_START, mark
from .secret_names import secret_in_name
from .secret_values import TextKind, is_secret_value

Found = Callable[[str], None]  # is told the rule of each finding
Replace = Callable[[re.Match[str], TextKind, Found], str]


@dataclass(frozen=True)
class LineRule:
    """A rule that looks at a line in which its anchor was seen.

    Attributes:
        anchors: small-letter expressions, each of which begins with one character that is rare in what programs print;
            what stands before it is looked back to. One pass over the text looks for those of all rules: it stops at
            every such character, which is most of what redaction costs.
        rare: anchors of which no character is rare, with a piece of text without which they need not be looked for.
        pattern: what to look for in such a line.
        replace: what to put there; without it the mark, in the place of group 1 or else of all.
    """

    name: str
    anchors: tuple[str, ...]
    pattern: str
    replace: Replace | None = None
    rare: tuple[tuple[str, str], ...] = ()


_ESCAPE = r"(?:\x1b\[[0-9;]*m)*"  # colours, which may stand between a name and its value
_NAMES = r"passw(?:or[dt]|d)s?|pwd|pass|passphrase|passcode|secrets?|credentials?|creds|token|keys?"
_ASSIGNED = (
    r"(?:\x1b\[[0-9;]*m|(?<![\w.\-]))(?P<key>[\w.\-]{0,100}?(?i:" + _NAMES + r")[0-9_]{0,4})"
    r"(?P<closed>\\?[\"']?)\]?" + _ESCAPE
    # In a program an annotation may stand between a name and its value.
    + r"(?:[ \t]*:[ \t]*[A-Za-z_][\w.\[\], |]{0,60}?(?=[ \t]*=[ \t]*\w{0,2}[\"']))?"
    + r"[ \t]*(?:=>|:=|=(?!=)|:(?!//))[ \t]*" + _ESCAPE
    + r"(?:[bBrRuUfF]{0,2}(?P<quote>\\?[\"'])(?P<quoted>(?:(?!(?P=quote)).){1,4096})(?P=quote)"
    r"|(?P<bare>[^\s\"'`,;&|)\]}<>\x1b\\]{1,4096}))"
)  # fmt: skip
_OPTION = (
    r"(?<!\S)(?P<key>--?[A-Za-z][\w\-]{1,60})[ \t]+(?P<quote>[\"']?)(?P<bare>[^\s\"'\-][^\s\"']{0,4095})(?P=quote)"
)
_URL = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]{0,20})://(?P<user>[^\s/@\"'<>`\\]{1,1024}(?:/[^\s@\"'<>`\\]{0,200})?)@(?=[\w\[%])"
_SHORT_USER = re.compile(r"[A-Za-z][A-Za-z._-]{0,19}")


def _replace_assigned(match: re.Match[str], kind: TextKind, found: Found) -> str:
    rule = secret_in_name(match["key"])
    quoted = match["quoted"] is not None
    if kind == "code" and not quoted and _is_in_words(match):
        kind = "text"
    value = match["quoted"] if quoted else match["bare"]
    ends = not match.string[match.end() :].strip(" \t\r\n\"'}),;]")
    if rule is None or not is_secret_value(value, rule, kind, quoted=quoted, ends=ends):
        return match[0]
    found(rule)
    begin, end = match.span("quoted" if quoted else "bare")
    return match[0][: begin - match.start()] + mark(rule) + match[0][end - match.start() :]


def _is_in_words(match: re.Match[str]) -> bool:
    """Whether a line of a program has this in a text or in a comment: there, values stand without quotes."""
    before = match.string[: match.start("key")]
    in_quotes = any(before.count(quote) % 2 for quote in "\"'") and not match["closed"]
    return in_quotes or "#" in before


def _replace_option(match: re.Match[str], kind: TextKind, found: Found) -> str:
    rule = secret_in_name(match["key"])
    value = match["bare"]
    is_usage = value.isupper() and value.isalpha()  # --password PASSWORD
    if rule is None or is_usage or not is_secret_value(value, rule, "settings"):
        return match[0]
    found(rule)
    return match[0].replace(value, mark(rule))


def _replace_url(match: re.Match[str], _kind: TextKind, found: Found) -> str:
    user = match["user"]
    if user == "git" or user.startswith(MARK_START) or is_placeholder_user(user):
        return match[0]
    before, slash, _ = user.partition("/")
    if slash and (":" not in before or before.rpartition(":")[2].isdigit()):
        return match[0]  # https://host/@scope, https://host:8080/@scope
    # A forge takes a token in the user's place; a name alone lets nobody in.
    if ":" not in user and _SHORT_USER.fullmatch(user):
        return match[0]
    found("url-credentials")
    return f"{match['scheme']}://{mark('url-credentials')}@"


def is_placeholder_user(user: str) -> bool:
    """Whether a URL only shows where its password would stand: user:password@host, {user}:{password}@host."""
    _, _, password = user.partition(":")
    shown = re.fullmatch(r"\{[^{}]*\}|\$\{?\w+\}?|<[^<>]*>|\*+|\.{3}|%s|password|passwd|pass|secret|PASSWORD", password)
    return shown is not None


# What follows a secret's name where a value comes next, as anchors see it.
_THEN = r"[0-9_]{0,4}\\?[\"'`]?\]?(?:\x1b\[[0-9;]*m)*[ \t]*(?:=|:)"

BUILT_IN: tuple[LineRule, ...] = (
    LineRule("url-credentials", (r"/(?<=://)[^\s/@]{1,1024}(?:/[^\s@]{0,200})?@",), _URL, _replace_url),
    LineRule("jwt", (r"j(?<=eyj)[a-z0-9_\-]{10}",), r"(?<![\w\-])eyJ[\w\-]{10,4096}\.[\w\-]{10,8192}\.?[\w\-]{0,2048}"),
    LineRule(
        "cloud-key",
        (r"k(?<=ak)ia[0-9a-z]{16}", r"z(?<=aiz)a[0-9a-z_\-]{30}", r"x(?<=gocspx)-", r"&sig=", r"\?sig=",
         r"x-amz-(?:signature|credential|security-token)="),
        r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])|AIza[0-9A-Za-z_\-]{35}|GOCSPX-[0-9A-Za-z_\-]{20,}"
        r"|[?&]sig=([0-9A-Za-z%+/=]{20,})|(?i:X-Amz-(?:Signature|Credential|Security-Token)=)([0-9A-Za-z%+/=]{10,})",
        rare=(("ASIA", "asia[0-9a-z]{16}"),),
    ),
    LineRule(
        "access-token",
        (r"_(?<=gh[pousr]_)[0-9a-z]{20}", r"_(?<=github_pat_)", r"-(?<=glpat-)", r"xox[a-z]-",
         r"k(?<=slack)\.com/services/",
         r"k(?<=sk)-(?<![a-z0-9]sk-)[0-9a-z_\-]{20}", r"_(?<=hf_)[0-9a-z]{30}", r"_(?<=npm_)[0-9a-z]{30}",
         r"-(?<=pypi-)[0-9a-z_\-]{40}", r"k(?<=[sr]k)_(?:live|test)_", r"v(?<=hv)s\.[0-9a-z_\-]{20}", r"v(?<=dop_v)1_",
         r"_(?<=clst_)", r"k(?<=dck)r_pat_", r"v(?<=wandb_v)1_", r"_(?<=glsa_)", r"_(?<=lin_api_)",
         r"q(?<=sq)0[a-z]{3}-"),
        r"(?<![A-Za-z0-9])(?:gh[pousr]_[0-9A-Za-z]{30,255}|github_pat_[0-9A-Za-z_]{22,255}|glpat-[0-9A-Za-z_\-]{20,}"
        r"|xox[abeoprs]-[0-9A-Za-z\-]{10,}|sk-(?=[\w\-]{0,200}[0-9])[0-9A-Za-z_\-]{20,200}|hf_[0-9A-Za-z]{30,}|npm_[0-9A-Za-z]{36}"
        r"|pypi-[0-9A-Za-z_\-]{50,}|[sr]k_(?:live|test)_[0-9A-Za-z]{20,}|hvs\.[0-9A-Za-z_\-]{20,}|dop_v1_[0-9a-f]{40,}"
        r"|SG\.[0-9A-Za-z_\-]{16,}\.[0-9A-Za-z_\-]{16,}|clst_[0-9A-Za-z_\-]{20,}|dckr_pat_[0-9A-Za-z_\-]{20,}"
        r"|wandb_v1_[0-9A-Za-z_\-]{20,}|glsa_[0-9A-Za-z_]{30,}|lin_api_[0-9A-Za-z]{30,}|sq0[a-z]{3}-[0-9A-Za-z_\-]{20,})"
        r"|hooks\.slack\.com/services/([\w/\-]{20,})",
        rare=(("SG.", r"sg\.[0-9a-z_\-]{16}"),),
    ),
    LineRule(
        "authorization",
        (r"z(?<=authoriz)ation",),
        r"(?i:\bbearer[ \t]+)((?=[\w.~+/\-]{0,200}[0-9])[\w.~+/\-]{16,4096}=*)"
        r"|(?i:\bauthorization\\?[\"']?[ \t]*[:=][ \t]*\\?[\"']?(?:basic|token|digest|apikey)[ \t]+)"
        r"([\w.~+/\-]{6,4096}=*)",
        rare=(("earer ", r"bearer[ \t]"),),
    ),
    LineRule(
        "secret",
        (r"w(?<=passw)(?:or[dt]|d)s?" + _THEN, r"w(?<=pw)d" + _THEN, r"_pass" + _THEN, r"c(?<=sec)rets?" + _THEN,
         r"credentials?" + _THEN, r"creds" + _THEN, r"c(?<=passc)ode" + _THEN, r"k(?<=tok)en" + _THEN,
         r"k(?<=[0-9a-z_\-]k)eys?" + _THEN),
        _ASSIGNED,
        _replace_assigned,
        rare=(("phrase", r"passphrase" + _THEN),),
    ),
    LineRule(
        "secret",
        (r"-(?<=--)(?<!\S--)[a-z\-_]{0,40}?(?:passw|token|secret|key|cred|pwd|passp)",),
        _OPTION,
        _replace_option,
    ),
    LineRule(
        "password",
        (r"w(?<=passw)ord[ \t]", r"-(?<!\S-)u[ \t]+\S{1,100}:\S", r"-(?<=sshpass -)p"),
        r"(?:curl\s(?:.{0,500}?\s)?(?:-u|--user)[ \t]*\S{1,100}?:"
        r"|\b(?:machine\s+\S{1,200}|default)\s+login\s+\S{1,100}\s+password\s+|sshpass\s+-p[ \t]*)"
        r"(\S{1,200})",
    ),
)  # fmt: skip

EMAIL = LineRule(
    "email",
    (r"@[0-9a-z\-]{1,63}\.",),
    r"(?<![\w.+%\-/:])[\w.+%\-]{1,64}@(?:[A-Za-z0-9\-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
)
ADDRESS = LineRule(
    "ip-address",
    (r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", r":(?::[0-9a-f]|[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){3})"),
    r"(?<![\w.\-])(?!127\.|0\.0\.0\.0)(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
    r"(?![\w\-]|\.[0-9])"
    r"|(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![\w:])"
    r"|(?<![\w:.])[0-9a-fA-F]{3,4}:(?:[0-9a-fA-F]{1,4}:){0,5}(?::[0-9a-fA-F]{1,4}){1,6}(?![\w:])",
)
