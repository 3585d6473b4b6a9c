"""What was found: tables, the page, the line of JSON.

In: samples by the name of their subject. Out: text. A ratio is the median of the ratios of the rounds: what slows the machine down
for a while slows both sides of it down.
"""

import datetime
import json
import platform
import re
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Ratio:
    name: str
    title: str
    of: str
    to: str
    limit: float | None = None


RATIOS = [
    Ratio("nginx_h1", "nginx plain TLS proxy without any identity, h1 keep-alive", "doorward-h1", "nginx-h1", 0.95),
    Ratio("nginx_h1_circumstances", "the same, rules by device, country, hours and mfa", "doorward-circumstances", "nginx-h1", 0.95),
    Ratio("nginx_h2", "nginx, h2", "doorward-h2", "nginx-h2", 1.05),
    Ratio("nginx_handshake", "nginx, full handshake + one request", "doorward-handshake", "nginx-handshake", 0.45),
    Ratio("public_route", "Doorward itself on a public route", "doorward-h1", "doorward-public", 1.10),
    Ratio("auth_request", "nginx + `auth_request` to a second, trivial nginx", "doorward-h1", "auth-request-h1", 0.50),
    Ratio("apache", "Apache mod_auth_openidc signed-in, h1", "doorward-h1", "apache-h1", 0.14),
    Ratio("apps_10000", "10,000 apps ÷ 10 apps", "doorward-10000-apps", "doorward-h1", 1.03),
    Ratio("sessions_100000", "100,000 live sessions used at random ÷ 1 session", "doorward-100000-sessions", "doorward-1-session", 1.10),
    Ratio("groups_200", "a user in 200 groups ÷ a user in 2", "doorward-200-groups", "doorward-h1", 1.05),
    Ratio("circumstances", "such rules ÷ rules by group", "doorward-circumstances", "doorward-h1"),
    Ratio("bare_h1", "a bare proxy of hyper and rustls, h1 keep-alive", "doorward-h1", "bare-h1"),
    Ratio("bare_h2", "the same, h2", "doorward-h2", "bare-h2"),
    Ratio("bare_handshake", "the same, full handshake + one request", "doorward-handshake", "bare-handshake"),
    Ratio("haproxy_h1", "haproxy plain TLS proxy, h1 keep-alive", "doorward-h1", "haproxy-h1"),
    Ratio("haproxy_h2", "the same, h2", "doorward-h2", "haproxy-h2"),
    Ratio("haproxy_handshake", "haproxy, full handshake + one request", "doorward-handshake", "haproxy-handshake"),
    Ratio("apache_200_groups", "Apache mod_auth_openidc, both with a user in 200 groups", "doorward-200-groups", "apache-200-groups"),
]


@dataclass
class Measured:
    ratio: Ratio
    value: float
    lowest: float
    highest: float

    @property
    def reached(self):
        if self.ratio.limit is None:
            return ""
        return "yes" if self.value <= self.ratio.limit else f"no: {self.value / self.ratio.limit - 1:.0%} above"


def ratios(samples):
    """Those that both sides were measured of."""
    found = []
    for ratio in RATIOS:
        if ratio.of in samples and ratio.to in samples:
            each = [one.cpu / other.cpu for one, other in zip(samples[ratio.of], samples[ratio.to])]
            found.append(Measured(ratio, statistics.median(each), min(each), max(each)))
    return found


def line(ratios):
    return json.dumps({measured.ratio.name: round(measured.value, 3) for measured in ratios})


def text(subjects, samples, medians, ratios):
    return "\n".join([*figures(subjects, samples, medians), "", *limits(ratios)])


def figures(subjects, samples, medians):
    yield "| | CPU µs a request | (lowest to highest) | requests/s | p50 ms | p99 ms | memory MiB |"
    yield "|---|---|---|---|---|---|---|"
    for subject in subjects:
        middle, all_of_it = medians[subject.name], [sample.cpu * 1e6 for sample in samples[subject.name]]
        spread = f"{min(all_of_it):.1f} to {max(all_of_it):.1f}"
        speed = f"{middle.rate:,.0f} | {middle.p50 * 1e3:.2f} | {middle.p99 * 1e3:.2f}"
        yield f"| {subject.title} | {middle.cpu * 1e6:.1f} | {spread} | {speed} | {middle.memory / 2**20:.0f} |"


def limits(ratios):
    yield "| CPU per request, Doorward signed-in ÷ | measured | (lowest to highest) | at most | reached |"
    yield "|---|---|---|---|---|"
    for measured in ratios:
        limit = "" if measured.ratio.limit is None else f"{measured.ratio.limit:.2f}"
        spread = f"{measured.lowest:.3f} to {measured.highest:.3f}"
        yield f"| {measured.ratio.title} | {measured.value:.3f} | {spread} | {limit} | {measured.reached} |"


def page(conditions, subjects, samples, medians, ratios):
    lines = [
        "# Measured side by side",
        "",
        "Written by `benches/compare`; what is measured and how is in [docs/performance.md](../docs/performance.md).",
        "",
        *conditions,
        "",
        "## Ratios",
        "",
        *limits(ratios),
        "",
        "## Figures",
        "",
        "Medians. The load and the upstream run on the same cores: requests/s and the percentiles are what the whole machine made of it.",
        "",
        *figures(subjects, samples, medians),
    ]
    return "\n".join(lines) + "\n"


def conditions(root, command, options, load):
    """`load`: the load average before anything was started."""
    rounds = f"{options.rounds} rounds of {options.seconds} s each, {options.warm_up} s of warm-up before each"
    yield "| | |"
    yield "|---|---|"
    yield f"| date | {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC |"
    yield f"| command | `{command}` ({rounds}) |"
    yield f"| machine | {machine()}; load average before it began {load:.2f} |"
    yield f"| Doorward | {said('git', '-C', root, 'describe', '--always', '--dirty')}, profile `{options.profile}`, {said('rustc', '--version')} |"
    for name, words, pattern in VERSIONS:
        yield f"| {name} | {version(words, pattern)} |"


VERSIONS = [
    ("nginx", ["nginx", "-V"], r"nginx/(\S+)"),
    ("haproxy", ["haproxy", "-v"], r"version (\S+)"),
    ("Apache", ["apache2", "-v"], r"Apache/(\S+)"),
    ("mod_auth_openidc", ["dpkg-query", "-W", "libapache2-mod-auth-openidc"], r"\s(\S+)"),
    ("OpenSSL (nginx, haproxy, Apache)", ["openssl", "version"], r"OpenSSL (\S+)"),
    ("wrk", ["wrk", "-v"], r"wrk (\S+)"),
    ("h2load", ["h2load", "--version"], r"nghttp2/(\S+)"),
]


def version(words, pattern):
    found = re.search(pattern, said(*words))
    return found[1] if found else "unknown"


def said(*words):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip()


def machine():
    processor = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = int(re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 2**20
    cores = len(re.findall(r"^processor\s*:", Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    system = re.search(r'^PRETTY_NAME="(.*)"$', Path("/etc/os-release").read_text(), re.MULTILINE)
    return f"{cores} cores of {processor[1] if processor else platform.machine()}, {memory:.0f} GiB, {system[1]}, Linux {platform.release()}"
