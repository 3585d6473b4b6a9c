"""A browser without a screen: cookies by host, redirects, and the sign-in form. Every https host is on this machine.

In: a URL, an account, and the device that it is asked from, if any. Out: the session cookie that a server gave.
"""

import html
import http.client
import re
import socket
import ssl
from urllib.parse import urlencode, urljoin, urlsplit

PASSWORD = "benchmark"
NAVIGATE = {
    "Accept": "text/html,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Site": "none",
    "User-Agent": "Mozilla/5.0 benchmark",
}


class Answer:
    def __init__(self, url, response, tls):
        self.url, self.status, self.tls = url, response.status, tls
        self.headers, self.body = response.headers, response.read()

    @property
    def location(self):
        return self.headers.get("Location")


class Browser:
    def __init__(self, device=None):
        self.device, self.jar = device, {}

    def send(self, url, headers=None, form=None):
        """One request, no redirects."""
        parts = urlsplit(url)
        fields = {**NAVIGATE, "Host": parts.netloc, **(headers or {})}
        if cookies := self.jar.get(parts.hostname):
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if form is not None:
            fields |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"{parts.scheme}://{parts.netloc}"}
        connection = connect(parts, self.device)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if form is None else "POST", target or "/", body=urlencode(form) if form else None, headers=fields)
        tls = (connection.sock.version(), connection.sock.cipher()[0]) if parts.scheme == "https" else None
        answer = Answer(url, connection.getresponse(), tls)
        connection.close()
        self.keep(parts.hostname, answer)
        return answer

    def open(self, url, form=None):
        """The page at the end of the redirects."""
        for _ in range(20):
            answer = self.send(url, form=form)
            if answer.location is None:
                return answer
            url, form = urljoin(url, answer.location), None
        raise RuntimeError(f"redirects without end, the last to {url}")

    def sign_in(self, url, account):
        """Opens a page that needs a session, and signs in where it leads."""
        page = self.open(url)
        token = re.search(r'name="form_token" value="([^"]*)"', page.body.decode())
        if not token:
            raise RuntimeError(f"no sign-in form at {page.url} (status {page.status}):\n{page.body.decode()}")
        credentials = {"form_token": html.unescape(token[1]), "email": f"{account}@corp.example", "password": PASSWORD}
        page = self.open(page.url, credentials)
        if page.status != 200:
            raise RuntimeError(f"{account} could not sign in: {page.url} answers {page.status}\n{page.body.decode()}")
        return page

    def keep(self, host, answer):
        jar = self.jar.setdefault(host, {})
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = line.split(";")[0].partition("=")
            if re.search(r"max-age=0\b", line, re.IGNORECASE) or not value:
                jar.pop(name.strip(), None)
            else:
                jar[name.strip()] = value


def connect(parts, device):
    stream = socket.create_connection(("127.0.0.1", parts.port), timeout=30)
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if device:
            context.load_cert_chain(device.certificate, device.key)
        stream = context.wrap_socket(stream, server_hostname=parts.hostname)
    connection.sock = stream
    return connection
