"""The servers that Doorward is compared with, and the upstream that all of them have. As many workers each as there are cores.

In: places. Out: running processes. No access log anywhere: that is the harder comparison, for Doorward writes its audit trail.
"""

import os

from places import CLIENT_ID, CLIENT_SECRET, DOMAIN
from processes import start

APACHE = f"apache.{DOMAIN}"
MODULES = "/usr/lib/apache2/modules"


def upstream(places):
    """1 KiB, and under /reports/seen what came with the request."""
    seen = "user=$http_x_remote_user$http_oidc_claim_email groups=$http_x_remote_groups$http_oidc_claim_groups assertion=$http_x_doorward_assertion"
    return nginx(places, "upstream", f"""
  underscores_in_headers on;
  server {{
    listen 127.0.0.1:{places.upstream} reuseport;
    default_type text/plain;
    location / {{ return 200 "{'x' * 1024}"; }}
    location = /reports/seen {{ return 200 "{seen}\\n"; }}
  }}""")


def plain(places):
    """A TLS proxy that asks nobody who they are."""
    return nginx(places, "nginx", proxy(places, places.nginx, "", ""))


def bare(places):
    """What the libraries of Doorward cost, without Doorward."""
    return start(places.directory, "bare", places.surroundings, "bare", places.bare, places.upstream, places.certificate, places.key)


def checker(places):
    """What `auth_request` asks: it says yes, at once."""
    server = f"server {{ listen 127.0.0.1:{places.checker} reuseport; location / {{ return 204; }} }}"
    return nginx(places, "checker", server)


def auth_request(places):
    """The same TLS proxy, which asks the checker about every request."""
    location = """
    location = /check {
      internal;
      proxy_pass http://checker;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header Content-Length "";
      proxy_pass_request_body off;
    }"""
    upstream = f"upstream checker {{ server 127.0.0.1:{places.checker}; keepalive 64; keepalive_requests 1000000000; }}"
    return nginx(places, "auth_request", upstream + proxy(places, places.auth_request, location, "auth_request /check;"))


def proxy(places, port, locations, directives):
    return f"""
  upstream app {{ server 127.0.0.1:{places.upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} ssl http2 reuseport;
    ssl_certificate {places.certificate};
    ssl_certificate_key {places.key};
    ssl_protocols TLSv1.3;{locations}
    location / {{
      {directives}
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }}
  }}"""


def nginx(places, name, servers):
    home = places.directory / name
    (home / "tmp").mkdir(parents=True)
    temporary = " ".join(f"{kind}_temp_path tmp/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (home / "nginx.conf").write_text(f"""daemon off;
worker_processes {places.cores};
worker_rlimit_nofile 65536;
pid nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  {temporary}
  {servers}
}}
""")
    return start(places.directory, name, "nginx", "-p", f"{home}/", "-c", "nginx.conf", "-e", "error.log")


def haproxy(places):
    home = places.directory / "haproxy"
    home.mkdir()
    (home / "both.pem").write_text(places.certificate.read_text() + places.key.read_text())
    (home / "haproxy.cfg").write_text(f"""global
  nbthread {places.cores}
  maxconn 8192
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend public
  bind 127.0.0.1:{places.haproxy} ssl crt both.pem alpn h2,http/1.1
  default_backend app
backend app
  server app 127.0.0.1:{places.upstream}
""")
    return start(places.directory, "haproxy", "haproxy", "-db", "-f", "haproxy.cfg")


def apache(places):
    """mod_auth_openidc with its defaults, one rule."""
    home = places.directory / "apache"
    home.mkdir()
    names = ["mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc", "socache_shmcb", "ssl", "proxy", "proxy_http"]
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names)
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    (home / "apache.conf").write_text(f"""{modules}
ServerRoot {home}
ServerName {APACHE}
DefaultRuntimeDir {home}
PidFile apache.pid
ErrorLog error.log
{user}
StartServers {places.cores}
ServerLimit {places.cores}
ThreadsPerChild 64
MinSpareThreads 1
MaxSpareThreads {places.cores * 64}
MaxRequestWorkers {places.cores * 64}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
Listen 127.0.0.1:{places.apache}
SSLEngine on
SSLProtocol TLSv1.3
SSLCertificateFile {places.certificate}
SSLCertificateKeyFile {places.key}
OIDCProviderMetadataURL {places.issuer}/.well-known/openid-configuration
OIDCClientID {CLIENT_ID}
OIDCClientSecret {CLIENT_SECRET}
OIDCRedirectURI {apache_callback(places)}
OIDCCryptoPassphrase not-a-secret
OIDCScope "openid email profile groups"
OIDCPKCEMethod S256
OIDCSessionInactivityTimeout 43200
OIDCSessionMaxDuration 43200
<Location />
  AuthType openid-connect
  Require claim groups:finance
</Location>
ProxyPass / http://127.0.0.1:{places.upstream}/
""")
    return start(places.directory, "apache", "apache2", "-d", home, "-f", "apache.conf", "-D", "FOREGROUND")


def apache_callback(places):
    return f"https://{APACHE}:{places.apache}/callback"
