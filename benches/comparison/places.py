"""Where everything is: names, ports, files. One value, handed to whoever writes a configuration."""

from dataclasses import dataclass
from pathlib import Path

DOMAIN = "bench.example"
CLIENT_ID, CLIENT_SECRET = "benchmark", "benchmark-secret"


@dataclass
class Places:
    directory: Path  # of this run
    port: int  # the first of 20
    programs: Path  # target/PROFILE
    cores: int

    @property
    def doorward(self):
        return self.programs / "doorward"

    @property
    def surroundings(self):
        return self.programs / "examples" / "surroundings"

    @property
    def certificate(self):
        return self.directory / "server.pem"

    @property
    def key(self):
        return self.directory / "server.key"

    @property
    def issuer(self):
        return f"http://127.0.0.1:{self.provider}"

    upstream = property(lambda self: self.port)
    provider = property(lambda self: self.port + 1)
    checker = property(lambda self: self.port + 2)
    nginx = property(lambda self: self.port + 3)
    auth_request = property(lambda self: self.port + 4)
    haproxy = property(lambda self: self.port + 5)
    apache = property(lambda self: self.port + 6)
    bare = property(lambda self: self.port + 7)
