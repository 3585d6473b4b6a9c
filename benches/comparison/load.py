"""The load: wrk for HTTP/1.1, h2load for HTTP/2, and a client of our own for full handshakes.

In: what to ask of whom, for how long. Out: [Figures]. Every answer must be a good one, or the measurement is void.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

THREADS = os.cpu_count()
CONNECTIONS = 64  # of HTTP/1.1
H2_CONNECTIONS, H2_STREAMS = 16, 4
HANDSHAKES = 16  # at a time
CIPHER = "TLS_AES_256_GCM_SHA384"
SCRIPT = Path(__file__).with_name("wrk.lua")
SHOWING = Path(__file__).with_name("wrk.c")

# What a browser sends, but for the cookies.
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
    "Accept": "application/json",
    "Accept-Language": "en",
    "Accept-Encoding": "gzip, deflate, br",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
}


@dataclass
class Request:
    """What is asked. `cookies`: a file of session cookies to choose from, in place of the one at the end of `cookie`."""

    host: str
    port: int
    path: str = "/reports/2026?q=1"
    cookie: str = "theme=dark"
    cookies: Path | None = None
    device: object = None  # whose certificate is shown, by HTTP/1.1

    @property
    def authority(self):
        return f"{self.host}:{self.port}"

    @property
    def headers(self):
        return {**HEADERS, "Cookie": self.cookie}


@dataclass
class Figures:
    """`p50` and `p99` are seconds."""

    requests: int
    seconds: float
    p50: float
    p99: float


def h1(request, seconds):
    command = wrk(request, seconds, THREADS, CONNECTIONS, "random")
    return result(command, run(command, timeout=seconds + 60, env=showing(request.device)))


def showing(device):
    """An environment in which wrk shows the certificate of a device."""
    if not device:
        return None
    if not (library := Path("showing.so").absolute()).exists():
        run(["cc", "-shared", "-fPIC", "-o", library, SHOWING])
    return {**os.environ, "LD_PRELOAD": str(library), "DEVICE_CERTIFICATE": str(device.certificate), "DEVICE_KEY": str(device.key)}


def each_cookie_once(request):
    """From one thread, which ends wrk when all of them have been answered."""
    seconds = 600
    run(wrk(request, seconds, 1, 16, "once"), timeout=seconds + 60)


def wrk(request, seconds, threads, connections, order):
    headers = [word for name, value in {"Host": request.authority, **request.headers}.items() for word in ("-H", f"{name}: {value}")]
    cookies = ["--", request.cookies, order] if request.cookies else []
    url = f"https://127.0.0.1:{request.port}{request.path}"
    return ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", *headers, "-s", SCRIPT, url, *cookies]


def h2(request, seconds):
    log = Path(f"h2load-{os.getpid()}.log").absolute()
    headers = [word for name, value in request.headers.items() for word in ("-H", f"{name.lower()}: {value}")]
    command = ["h2load", "-t", THREADS, "-c", H2_CONNECTIONS, "-m", H2_STREAMS, "-D", seconds, "--tls13-ciphers", CIPHER]
    command += [f"--connect-to=127.0.0.1:{request.port}", f"--log-file={log}", *headers, f"https://{request.authority}{request.path}"]
    try:
        output = run(command, timeout=seconds + 60)
        latencies = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines() if line.split("\t")[1] == "200")
    finally:
        log.unlink(missing_ok=True)
    total, good = (int(re.search(pattern, output)[1]) for pattern in (r"(\d+) done", r"status codes: (\d+) 2xx"))
    if "Application protocol: h2" not in output or good < total or not latencies:
        raise RuntimeError(f"bad answers to {command}:\n{output}")
    percentile = lambda percent: latencies[len(latencies) * percent // 100] / 1e6
    return Figures(good, seconds, percentile(50), percentile(99))


@dataclass
class Handshakes:
    """A full handshake for each request. `client`: the program of benches/surroundings."""

    client: Path

    def __call__(self, request, seconds):
        fields = {"Host": request.authority, **request.headers, "Connection": "close"}
        text = f"GET {request.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        command = [self.client, "handshakes", f"127.0.0.1:{request.port}", request.host, HANDSHAKES, seconds]
        return result(command, run(command, timeout=seconds + 60, input=text))


def run(command, **options):
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{words} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def result(command, output):
    found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)$", output, re.MULTILINE)
    requests, duration, p50, p99, errors = (int(number) for number in found.groups()) if found else (0, 0, 0, 0, 1)
    if errors or not requests:
        raise RuntimeError(f"bad answers to {command}:\n{output}")
    return Figures(requests, duration / 1e6, p50 / 1e6, p99 / 1e6)
