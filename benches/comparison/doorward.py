"""Doorward as it is measured, doing its whole job: sessions, a policy of 20 rules, identity headers, assertion, audit to a file,
metrics. And the identity provider that people sign in at.

In: places, a number of apps. Out: running instances, and cookies of real sign-ins.
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from browser import Browser
from places import CLIENT_ID, CLIENT_SECRET, DOMAIN
from processes import start

RULES = 20
SESSION = "__Host-doorward"
PUBLIC = "/open/reports/26"  # as long as the path that needs a session
GENERATE = Path(__file__).resolve().parents[2] / "certs" / "generate"


def host(app):
    return f"app{app}.{DOMAIN}"


@dataclass
class Device:
    certificate: Path
    key: Path


class Instance:
    """One process. `offset`: of its two ports from the first one. `device`: what it must be asked from, if any."""

    device = None

    def __init__(self, places, name, offset, apps):
        self.name, self.home = name, places.directory / name
        self.port, self.admin = places.port + offset, places.port + offset + 1
        self.host = host(apps // 2)
        self.audit = self.home / "state" / "audit.jsonl"
        self.audit.parent.mkdir(parents=True)
        (self.home / "secret").write_text(CLIENT_SECRET)
        (self.home / "secret").chmod(0o600)
        # JSON is YAML.
        (self.home / "doorward.yaml").write_text(json.dumps(self.configuration(places, apps), indent=1))
        self.doorward, self.directory = places.doorward, places.directory

    def start(self):
        self.process = start(self.directory, self.name, self.doorward, "run", "-c", "doorward.yaml")
        for _ in range(600):
            time.sleep(0.2)
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended:\n{(self.home / 'output.log').read_text()}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5)
                return self.process
            except (OSError, urllib.error.URLError):
                pass
        raise RuntimeError(f"{self.name} was not ready in time")

    @property
    def callback(self):
        return f"https://login.{DOMAIN}:{self.port}/.doorward/callback"

    @property
    def url(self):
        return f"https://{self.host}:{self.port}"

    def sign_in(self, account):
        """Through the provider; gives the cookie of the app."""
        browser = Browser(self.device)
        browser.sign_in(f"{self.url}/reports/2026", account)
        return browser.jar[self.host][SESSION]

    def metrics(self):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5).read().decode()

    def configuration(self, places, apps):
        return {
            "listen": {"https": f"127.0.0.1:{self.port}", "admin": f"127.0.0.1:{self.admin}"},
            "tls": {"certificates": [{"cert": str(places.certificate), "key": str(places.key)}]},
            "auth": {"url": f"https://login.{DOMAIN}:{self.port}", "session": {"idle": "12h", "lifetime": "12h"}},
            "identity_providers": {"staff": provider(places)},
            "store": "sqlite:state/doorward.db",
            "apps": {f"app{number}": self.app(places, number) for number in range(apps)},
            "audit": {"file": "state/audit.jsonl"},
        }

    def app(self, places, number):
        return {
            "url": f"https://{host(number)}:{self.port}",
            "upstream": f"http://127.0.0.1:{places.upstream}",
            "identity": {"X-Remote-User": "email", "X-Remote-Groups": "groups"},
            "allow": [self.rule(number) for number in range(1, RULES + 1)],
            "paths": [{"match": "/open/**", "public": True}, {"match": "/admin/**", "allow": [{"groups": "admins"}]}],
        }

    def rule(self, number):
        """Only the last one lets anybody in."""
        return {"groups": "finance" if number == RULES else f"none-{number}"}


class Circumstantial(Instance):
    """Each of its rules looks at device, country, hours and the strength of the sign-in; all but the last want another country."""

    def __init__(self, places, name, offset, apps):
        super().__init__(places, name, offset, apps)
        self.device = Device(self.home / "laptop.pem", self.home / "laptop.key")
        said = subprocess.check_output([GENERATE, "--device", "laptop"], env={**os.environ, "OUT": str(self.home)}, text=True)
        fingerprint = said.rpartition("=")[2].strip()
        (self.home / "devices.csv").write_text(f"id,owner,fingerprint,managed\nlaptop,few@corp.example,{fingerprint},true\n")
        (self.home / "countries.mmdb").write_bytes(subprocess.check_output([places.surroundings, "country"]))

    def configuration(self, places, apps):
        plain = super().configuration(places, apps)
        plain["tls"]["device_ca"] = "device-ca.pem"
        # The provider asks for a password, and that is all.
        plain["identity_providers"]["staff"]["strength"] = {"mfa": {"amr": ["pwd"]}}
        return plain | {"devices": {"file": "devices.csv"}, "geo": {"country": "countries.mmdb"}}

    def rule(self, number):
        country = "DE" if number == RULES else f"A{chr(ord('A') + number)}"
        hours = ["Mon-Sun 06:00-18:00 Europe/Berlin", "Mon-Sun 18:00-06:00 Europe/Berlin"]
        return {"groups": "finance", "when": {"device": "managed", "country": [country], "hours": hours, "mfa": True}}


def provider(places):
    return {
        "issuer": places.issuer,
        "client_id": CLIENT_ID,
        "client_secret": {"file": "secret"},
        "scopes": ["openid", "email", "profile", "groups"],
        "claims": {"groups": "groups", "department": "department"},
    }


def start_provider(places, callbacks):
    return start(places.directory, "provider", places.surroundings, "provider", places.provider, *callbacks)
