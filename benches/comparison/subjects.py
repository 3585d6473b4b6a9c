"""What is measured: which server, by which load, as whom.

In: a stage, or nothing for the list alone. Out: [Subject]s. None is measured before it was seen to do what its title says.
"""

from dataclasses import dataclass, replace
from typing import Callable

import doorward
import load
from browser import Browser
from places import DOMAIN
from servers import APACHE

COOKIE = "theme=dark"


@dataclass
class Subject:
    name: str
    title: str
    server: str
    load: str = "h1"
    account: str | None = None  # who is signed in
    path: str = "/reports/2026?q=1"
    cookies: str | None = None  # how many sessions, where they are more than one or as if they were


DOORWARD, MANY_APPS, MANY_SESSIONS = "doorward", "doorward-10000-apps", "doorward-100000-sessions"
CIRCUMSTANCES = "doorward-circumstances"
# In the order of measuring: those that are divided by each other are close.
SUBJECTS = [
    Subject("doorward-h1", "Doorward, signed in, h1 keep-alive", DOORWARD, account="few"),
    Subject("nginx-h1", "nginx, plain TLS proxy, h1 keep-alive", "nginx"),
    Subject("bare-h1", "a bare proxy of hyper and rustls, h1 keep-alive", "bare"),
    Subject("doorward-circumstances", "Doorward, signed in, by device, country, hours and mfa, h1", CIRCUMSTANCES, account="few"),
    Subject("doorward-public", "Doorward, public route, h1 keep-alive", DOORWARD, path=doorward.PUBLIC),
    Subject("doorward-200-groups", "Doorward, signed in, a user in 200 groups, h1", DOORWARD, account="many"),
    Subject("doorward-10000-apps", "Doorward, signed in, one of 10,000 apps, h1", MANY_APPS, account="few"),
    Subject("auth-request-h1", "nginx with `auth_request` to a trivial nginx, h1 keep-alive", "auth_request"),
    Subject("apache-h1", "Apache mod_auth_openidc, signed in, h1 keep-alive", "apache", account="few"),
    Subject("haproxy-h1", "haproxy, plain TLS proxy, h1 keep-alive", "haproxy"),
    Subject("doorward-h2", "Doorward, signed in, h2", DOORWARD, "h2", "few"),
    Subject("nginx-h2", "nginx, plain TLS proxy, h2", "nginx", "h2"),
    Subject("bare-h2", "a bare proxy of hyper and rustls, h2", "bare", "h2"),
    Subject("haproxy-h2", "haproxy, plain TLS proxy, h2", "haproxy", "h2"),
    Subject("doorward-handshake", "Doorward, signed in, full handshake and one request", DOORWARD, "handshake", "few"),
    Subject("nginx-handshake", "nginx, full handshake and one request", "nginx", "handshake"),
    Subject("bare-handshake", "a bare proxy of hyper and rustls, full handshake and one request", "bare", "handshake"),
    Subject("haproxy-handshake", "haproxy, full handshake and one request", "haproxy", "handshake"),
    Subject("doorward-1-session", "Doorward, 1 session, cookies chosen by a script, h1", DOORWARD, account="few", cookies="one"),
    Subject("doorward-100000-sessions", "Doorward, 100,000 sessions at random, h1", MANY_SESSIONS, cookies="many"),
    Subject("apache-200-groups", "Apache mod_auth_openidc, signed in, a user in 200 groups, h1", "apache", account="many"),
]


@dataclass
class Prepared:
    """A subject on the stage, ready to be measured."""

    subject: Subject
    stage: object
    request: load.Request
    run: Callable

    @property
    def tree(self):
        return self.stage.trees[self.subject.server]

    def warm_up(self, seconds):
        """Many sessions are all used once, as they would be every few minutes: what is kept for a while is kept of all of them."""
        if self.subject.cookies == "many":
            load.each_cookie_once(self.request)
        else:
            self.measure(seconds)

    def measure(self, seconds):
        return self.run(self.request, seconds)

    def forget(self):
        """Lets the audit trail not fill the disk."""
        if instance := self.stage.instances.get(self.subject.server):
            if instance.audit.stat().st_size == 0:
                raise RuntimeError(f"{self.subject.name}: nothing was audited")
            open(instance.audit, "r+b").truncate(0)


def prepare(subject, stage):
    places = stage.places
    loads = {"h1": load.h1, "h2": load.h2, "handshake": load.Handshakes(places.surroundings)}
    prepared = Prepared(subject, stage, request(subject, stage), loads[subject.load])
    prove(prepared)
    return prepared


def request(subject, stage):
    instance, places = stage.instances.get(subject.server), stage.places
    if instance:
        asked = load.Request(instance.host, instance.port, subject.path, COOKIE, device=instance.device)
    else:
        ports = {"nginx": places.nginx, "bare": places.bare, "auth_request": places.auth_request, "haproxy": places.haproxy, "apache": places.apache}
        asked = load.Request(APACHE if subject.server == "apache" else f"app5.{DOMAIN}", ports[subject.server], subject.path, COOKIE)
    if subject.cookies:
        return with_cookies(asked, subject, stage, instance)
    if subject.account:
        asked.cookie += f"; {stage.session(subject.server, subject.account)}"
    elif subject.path != doorward.PUBLIC:
        # As many bytes as for everybody else.
        asked.cookie += f"; {doorward.SESSION}={'x' * 43}"
    return asked


def with_cookies(asked, subject, stage, instance):
    """The script puts the session behind the other cookies."""
    asked.cookies = stage.cookies_of(instance)
    if subject.cookies == "one":
        asked.cookies.write_text(stage.session(subject.server, subject.account).partition("=")[2] + "\n")
    asked.cookie += f"; {doorward.SESSION}="
    return asked


def prove(prepared):
    """That the server does the job that is measured, for this request."""
    subject, asked = prepared.subject, prepared.request
    cookie = asked.cookie
    if asked.cookies:
        with open(asked.cookies) as lines:
            cookie += next(lines).strip()
    answer = ask(asked, asked.path, cookie)
    expect(subject, answer, answer.status == 200 and len(answer.body) == 1024, "the upstream's answer")
    expect(subject, answer, answer.tls == ("TLSv1.3", load.CIPHER), "TLS 1.3 with the cipher of all others")
    if subject.account or asked.cookies:
        seen = ask(asked, "/reports/seen", cookie)
        expect(subject, seen, all(word in seen.body for word in (b"@corp.example", b"group-001", b"finance")), "identity headers")
        if prepared.stage.instances.get(subject.server):
            expect(subject, seen, seen.body.split(b"assertion=")[1].count(b".") == 2, "an assertion")
            expect(subject, seen, "doorward_" in prepared.stage.instances[subject.server].metrics(), "metrics")
        if asked.device:
            elsewhere = ask(replace(asked, device=None), asked.path, cookie)
            expect(subject, elsewhere, elsewhere.status == 403, "nothing for another device")
        stranger = ask(asked, asked.path, COOKIE)
        expect(subject, stranger, stranger.status in (302, 303), "nothing for strangers")


def ask(asked, path, cookie):
    return Browser(asked.device).send(f"https://{asked.authority}{path}", {**load.HEADERS, "Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Cookie": cookie})


def expect(subject, answer, holds, what):
    if not holds:
        raise RuntimeError(f"{subject.name}: expected {what}, but {answer.url} answers {answer.status} over {answer.tls}:\n{answer.body!r}")
