"""What the kernels of email addresses and URLs prove, and that a looser proof would be noticed."""

from __future__ import annotations

from typing import Annotated, Any

import email_validator
import pyarrow.compute as pc
import pytest
from proofs import check_noticed, check_proofs, compare, has_no_kernel, kernel_of, model_of, proved
from pydantic import (
    AfterValidator,
    AnyUrl,
    AnyWebsocketUrl,
    ConfigDict,
    EmailStr,
    Field,
    FileUrl,
    FtpUrl,
    HttpUrl,
    NameEmail,
    PlainSerializer,
    PostgresDsn,
    UrlConstraints,
)

from zoopipe.arrays import text_scalar
from zoopipe.validation import network
from zoopipe.validation.network import EmailKernel, UrlKernel

SITE = "https://example.com"
# Each row: a type, settings, cells that are proved, and cells that are left to pydantic.
PROOFS: list[Any] = [
    pytest.param(
        EmailStr,
        {},
        [
            *("user@example.com", "a.b-c_d+e@mail.example.co.uk", "1@3com.com", "-@a-b.org"),
            *("o'brien@b.ie", "John.Doe@example.com", "a@b.museum", "x" * 52 + "@example.com"),
        ],
        [
            *("Info@example.com", "POSTMASTER@example.com", "User@example.com", "a@Example.com"),
            *(
                "a@b",
                "a@localhost",
                "a@b.local",
                "a@b.test",
                "a@b.invalid",
                "a@x.onion",
                "a@b.arpa",
            ),
            *("a@b.1", "a@1.2.3.4", "a@[1.2.3.4]", "a@b.c1", "a@b.com.", ".a@b.com", "a.@b.com"),
            *(
                "a..b@b.com",
                "a@-b.com",
                "a@b-.com",
                "a@b..com",
                "a@.b.com",
                "a@b_c.com",
                "a@@b.com",
            ),
            *("a@xn--bcher-kva.de", "a@xn--a.de", "a@ab--c.de", "a@bücher.de", "é@b.com"),
            *('"a b"@b.com', '"a"@b.com', "Name <a@b.com>", "<a@b.com>", " a@b.com", "a@b.com "),
            *("a b@b.com", "a@b.com\n", "a@b.com\x00", "a\u2028@b.com", "a@b。com", "a@ｂ.com"),
            *("x" * 65 + "@b.com", "a@" + "x" * 64 + ".com", "a@" + ".".join(["x" * 60] * 5)),
            *("a!#$%&*/=?^`{|}~@b.com", "a", "@", "a@", "@b.com", ""),
        ],
        id="email",
    ),
    pytest.param(
        EmailStr,
        ConfigDict(str_to_lower=True, str_strip_whitespace=True),
        ["A@B.COM", "Info@b.com"],
        [" a@b.com", "a@b.test", "É@b.com"],
        id="email-lower",
    ),
    pytest.param(
        EmailStr, ConfigDict(str_max_length=7), ["a@b.com"], ["ab@b.com"], id="email-length"
    ),
    pytest.param(
        HttpUrl,
        {},
        [
            *(SITE, f"{SITE}/", "http://a", "http://localhost/x", "http://1.a-b.example.org"),
            *(f"{SITE}:8080", f"{SITE}:8443/a", f"{SITE}:59999/", f"{SITE}/a/b?x=1&y=a%20b#top"),
            *(
                f"{SITE}//a//",
                f"{SITE}/.well-known/x",
                f"{SITE}/a.b/c..d.",
                f"{SITE}/?",
                f"{SITE}/#",
            ),
            *(f"{SITE}/a:b@c;d,e=f&g+h$i!j*k(l)~m_n-o", f"{SITE}/?a/b?c:@", f"{SITE}/?%zz"),
        ],
        [
            *("HTTPS://example.com/", "https://Example.com/", f"{SITE}?x=1", f"{SITE}#top"),
            *(
                "http://a:80/",
                "https://a:443/",
                "http://a:0/",
                "http://a:08080/",
                "http://a:65536/",
            ),
            *(
                "http://a:/",
                "http://a:99999/",
                f"{SITE}/a/../b",
                f"{SITE}/./a",
                f"{SITE}/..",
                "http:a",
            ),
            *(f"{SITE}/%2e%2E/a", f"{SITE}/.%2e/", f"{SITE}/...", f"{SITE}/a b", f"{SITE}/é"),
            *("http://127.0.0.1/", "http://127.1/", "http://a.1/", "http://0x7f.1", "http://1/"),
            *("http://[::1]/", "http://xn--a.com/", "http://xn--bcher-kva.de", "http://a--b.com/"),
            *("http://bücher.de/", "http://u:p@a.com/", "http://a..b/", "http://a_b.com/"),
            *(
                "http://-a.com",
                "http://a-.com",
                "http://a.com.",
                "http:///a",
                "http:/a.com",
                "http://",
            ),
            *("ftp://a.com/", "javascript:alert(1)", "//a.com/", "a.com", "", "http://a.com\\x"),
            *(f" {SITE}", f"{SITE} ", f"{SITE}\n", f"{SITE}/\t", f"{SITE}/\x00", f"{SITE}/\u2028"),
            *(f"{SITE}/'", f'{SITE}/"', f"{SITE}/`", f"{SITE}/{{x}}", f"{SITE}/?'", f"{SITE}/#`"),
            *(f"{SITE}/?<>", f"{SITE}/|", f"{SITE}/^", f"{SITE}/" + "x" * 2064, "http://a。b/"),
        ],
        id="http",
    ),
    pytest.param(
        AnyUrl,
        {},
        ["http://a", "ws://a/b", "wss://a:9999", "ftp://a.com"],
        ["foo://a", "file:///a", "mailto:a@b.com", "data:,x", "ftp://a.com:21/"],
        id="any",
    ),
    pytest.param(FtpUrl, {}, ["ftp://a/b"], ["http://a/b", "ftp://a:21/"], id="ftp"),
    pytest.param(AnyWebsocketUrl, {}, ["ws://a", "wss://a/"], ["http://a", "ws://a:80/"], id="ws"),
    pytest.param(
        Annotated[AnyUrl, UrlConstraints(max_length=12, allowed_schemes=["http"])],
        {},
        ["http://a.de", "http://a/bc"],
        ["http://a.com", "http://a.com/", "https://a"],
        id="constraints",
    ),
]


@pytest.mark.parametrize(("annotation", "config", "sure", "unsure"), PROOFS)
def test_kernel_proves_the_sure_and_leaves_the_rest_when_values_are_addresses(
    annotation: Any, config: ConfigDict, sure: list[str], unsure: list[str]
) -> None:
    check_proofs(annotation, sure, unsure, config)


class Shown(HttpUrl):
    def __str__(self) -> str:
        return "shown"


class Other(EmailStr):  # type: ignore[misc]
    @classmethod
    def _validate(cls, value: str, /) -> str:
        return value.upper()


@pytest.mark.parametrize(
    ("annotation", "config", "cells"),
    [
        (Shown, {}, [SITE, f"{SITE}/"]),
        (Other, {}, ["a@b.com", "x"]),
        (NameEmail, {}, ["a@b.com", "A <a@b.com>"]),
        (FileUrl, {}, ["file:///a", "file://a/b"]),
        (PostgresDsn, {}, ["postgres://a/b", "postgres://u:p@a:5432,b/c"]),
        (Annotated[AnyUrl, UrlConstraints(default_port=8080)], {}, [SITE]),
        (Annotated[AnyUrl, UrlConstraints(host_required=True)], {}, [SITE, "data:,x"]),
        (Annotated[HttpUrl, AfterValidator(str)], {}, [SITE]),
        (Annotated[HttpUrl, PlainSerializer(str)], {}, [SITE]),
        (Annotated[EmailStr, AfterValidator(str.upper)], {}, ["a@b.com"]),
        (Annotated[EmailStr, PlainSerializer(str.upper)], {}, ["a@b.com"]),
        (Annotated[HttpUrl, Field(max_length=25)], {}, [SITE, f"{SITE}/abcdef"]),
    ],
)
def test_kernel_is_none_when_addresses_are_not_pydantics_own(
    annotation: Any, config: ConfigDict, cells: list[str]
) -> None:
    has_no_kernel(annotation, config)
    compare(model_of(annotation, config), [*cells, None])


def test_email_of_a_domain_is_left_when_the_user_reserved_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel, cells = kernel_of(EmailStr), ["a@example.com", "a@mail.example.com", "a@b.com"]
    assert len(proved(kernel, cells)) == 3
    monkeypatch.setattr(email_validator, "SPECIAL_USE_DOMAIN_NAMES", ["example.com"])
    assert [cell for cell, _ in proved(kernel, cells)] == ["a@b.com"]
    compare(model_of(EmailStr), cells)


ANY_EMAIL, ANY_HOST = r"^[^@]+@[^@]+\.[a-z]+$", r"[^/]+"
LOOSENED: list[Any] = [
    *(
        pytest.param(EmailStr, EmailKernel, "_PATTERN", ANY_EMAIL, [cell], id=f"email-{cell}")
        for cell in ("Info@b.com", "a@B.com", "a..b@b.com", "a@xn--a.de", "é@b-.com", "a b@b.com")
    ),
    pytest.param(EmailStr, EmailKernel, "_PATTERN", r"@", ["a@b"], id="no-top-level-domain"),
    pytest.param(EmailStr, EmailKernel, "_PATTERN", r"@", ["A <a@b.com>"], id="with-name"),
    pytest.param(
        EmailStr, EmailKernel, "_LONGEST", 999, ["a@" + "x" * 64 + ".com"], id="long-label"
    ),
    pytest.param(EmailStr, network, "special_use_domains", list, ["a@b.test"], id="special-domain"),
    *(
        pytest.param(HttpUrl, UrlKernel, "_HOST", ANY_HOST, [f"http://{host}/"], id=f"host-{host}")
        for host in ("A.com", "127.1", "a.1", "xn--a.com", "a:80", "bücher.de", "a b", " a")
    ),
    *(
        pytest.param(HttpUrl, UrlKernel, "_PORT", r"(?::[0-9]+)?", [f"http://a:{port}/"], id=port)
        for port in ("80", "08080", "65536")
    ),
    *(
        pytest.param(
            HttpUrl, UrlKernel, "_SEGMENT", r"[^/]*", [f"{SITE}/{path}"], id=f"path-{path}"
        )
        for path in ("..", ".", "a/../b", "%2e%2e", "{x}", "a b", "é", '"', "\\")
    ),
    pytest.param(HttpUrl, UrlKernel, "_QUERY", r"(?s:.)*", [f"{SITE}/?'"], id="query"),
    pytest.param(AnyUrl, UrlKernel, "_SPECIAL", ("foo",), ["foo://a"], id="not-special"),
    pytest.param(HttpUrl, network, "_SLASH", text_scalar(""), [SITE], id="slash"),
    pytest.param(
        Annotated[AnyUrl, UrlConstraints(max_length=10)],
        pc,
        "less",
        lambda cells, limit: pc.less_equal(cells, pc.add(limit, limit)),
        ["http://abcde/"],
        id="length",
    ),
]


@pytest.mark.parametrize(("annotation", "where", "name", "loose", "cells"), LOOSENED)
def test_comparison_fails_when_a_proof_of_addresses_is_loosened(
    annotation: Any,
    where: Any,
    name: str,
    loose: Any,
    cells: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_noticed(annotation, cells, lambda: monkeypatch.setattr(where, name, loose))
