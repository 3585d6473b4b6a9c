"""Everything that runs during a comparison: certificates, upstream, provider, and the servers that are measured.

In: places, and the names of the servers that are wanted. Out: running servers, each by its name. Leaving the stage stops them.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time

import doorward
import servers
from browser import Browser
from places import DOMAIN
from processes import Tree, stop

SESSIONS = 100_000
# name: what it is, apps, and where its ports are.
INSTANCES = {
    "doorward": (doorward.Instance, 10, 8),
    "doorward-10000-apps": (doorward.Instance, 10_000, 10),
    "doorward-100000-sessions": (doorward.Instance, 10, 12),
    "doorward-circumstances": (doorward.Circumstantial, 10, 14),
}


class Stage(contextlib.AbstractContextManager):
    def __init__(self, places, wanted, say):
        self.places, self.wanted, self.say = places, wanted, say
        self.processes, self.trees, self.known = [], {}, {}
        self.instances = {name: kind(places, name, offset, apps) for name, (kind, apps, offset) in INSTANCES.items() if name in wanted}

    def __enter__(self):
        try:
            certificate(self.places)
            if "doorward-100000-sessions" in self.instances:
                self.fill(self.instances["doorward-100000-sessions"])
            self.surroundings()
            self.others()
            for name, instance in self.instances.items():
                self.say(f"starting {name}")
                self.processes.append(instance.start())
                self.trees[name] = Tree(instance.process)
            return self
        except BaseException:
            stop(self.processes)
            raise

    def __exit__(self, *_):
        stop(self.processes)

    def surroundings(self):
        callbacks = [instance.callback for instance in self.instances.values()] + [servers.apache_callback(self.places)]
        self.run(servers.upstream(self.places), self.places.upstream)
        self.run(doorward.start_provider(self.places, callbacks), self.places.provider)

    def others(self):
        places = self.places
        for name, begin, port in [
            ("nginx", servers.plain, places.nginx),
            ("bare", servers.bare, places.bare),
            ("haproxy", servers.haproxy, places.haproxy),
            ("apache", servers.apache, places.apache),
        ]:
            if name in self.wanted:
                self.trees[name] = Tree(self.run(begin(places), port))
        if "auth_request" in self.wanted:
            both = [self.run(servers.checker(places), places.checker), self.run(servers.auth_request(places), places.auth_request)]
            self.trees["auth_request"] = Tree(*both)

    def fill(self, instance):
        """Sessions of so many people. In memory where there is such a place: each of them is some synchronous writes."""
        self.say(f"making {SESSIONS} sessions")
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory(dir=memory) as folder, open(self.cookies_of(instance), "w") as cookies:
            command = [self.places.surroundings, "sessions", f"{folder}/doorward.db", instance.host, str(SESSIONS)]
            subprocess.run(command, stdout=cookies, check=True)
            for file in os.listdir(folder):
                shutil.move(f"{folder}/{file}", instance.audit.parent)

    def cookies_of(self, instance):
        return instance.home / "cookies"

    def run(self, process, port):
        self.processes.append(process)
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return process
            if process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"{process.args} does not listen on port {port}; see {self.places.directory}")

    def session(self, name, account):
        """The cookie of a real sign-in, the same one at every call."""
        if (name, account) not in self.known:
            self.known[name, account] = self.sign_in(name, account)
        return self.known[name, account]

    def sign_in(self, name, account):
        if name != "apache":
            return f"{doorward.SESSION}={self.instances[name].sign_in(account)}"
        browser = Browser()
        browser.sign_in(f"https://{servers.APACHE}:{self.places.apache}/reports/2026", account)
        return f"mod_auth_openidc_session={browser.jar[servers.APACHE]['mod_auth_openidc_session']}"


def certificate(places):
    """ECDSA with P-256, the same for all."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={DOMAIN}", "-addext", f"subjectAltName=DNS:*.{DOMAIN}", "-keyout", places.key, "-out", places.certificate]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
