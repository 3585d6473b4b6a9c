// nginx as an upstream: static files, and in front of the recording app. It
// runs in the foreground out of a directory of its own.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './eventually.mjs';
import { freePort } from './ports.mjs';

const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((path) => spawnSync(path, ['-v']).status === 0);

export const nginxMissing = NGINX ? false : 'nginx is not installed';

export async function startNginx(directory, behind) {
  const port = await freePort();
  const prefix = join(directory, 'nginx');
  for (const name of ['files', 'tmp']) mkdirSync(join(prefix, name), { recursive: true });
  writeFileSync(join(prefix, 'nginx.conf'), configuration(port, behind, prefix));
  const child = spawn(NGINX, ['-p', prefix, '-c', 'nginx.conf', '-e', 'error.log'], { stdio: 'inherit' });
  await eventually('nginx answers', () => fetch(`http://127.0.0.1:${port}/alive`));
  return {
    url: `http://127.0.0.1:${port}`,
    files: join(prefix, 'files'),
    close: () => new Promise((resolve) => { child.once('exit', resolve); child.kill('SIGQUIT'); child.kill('SIGTERM'); }),
  };
}

function configuration(port, behind, prefix) {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${prefix}/tmp/${name};`).join(' ');
  return `daemon off; master_process off; pid nginx.pid; error_log error.log;
events { worker_connections 512; }
http {
  access_log off; ${temporary}
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 0;
    location = /alive { return 204; }
    location /files/ { root ${prefix}; }
    location / {
      proxy_pass ${behind};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_for_upstream;
      proxy_buffering off;
      proxy_request_buffering off;
    }
  }
  map $http_upgrade $connection_for_upstream { default upgrade; '' close; }
}
`;
}
