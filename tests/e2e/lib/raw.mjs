// HTTP/1.1 by the byte: what is sent is exactly what was written here.
import tls from 'node:tls';

const DEADLINE = 30_000; // turns a hang into a failure

// Opens a TLS connection that speaks HTTP/1.1 to `host` on a loopback port.
export function connect(world, host) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host: '127.0.0.1', port: world.port, servername: host, ca: world.authority.pem, ALPNProtocols: ['http/1.1'],
    }, () => resolve(new Connection(socket)));
    socket.once('error', reject);
  });
}

// Sends bytes on a connection of their own and reads the first answer.
export async function exchange(world, host, bytes) {
  const connection = await connect(world, host);
  try {
    connection.write(bytes);
    return await connection.answer();
  } finally {
    connection.destroy();
  }
}

class Connection {
  #socket;
  #received = Buffer.alloc(0);
  #ended = false;
  #wake = () => {};

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => { this.#received = Buffer.concat([this.#received, chunk]); this.#wake(); });
    for (const event of ['end', 'close', 'error']) socket.on(event, () => { this.#ended = true; this.#wake(); });
  }

  write(bytes) {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  destroy() {
    this.#socket.destroy();
  }

  // The next answer, or undefined when the server closed without one.
  async answer() {
    const head = await this.#until(() => {
      const end = this.#received.indexOf('\r\n\r\n');
      return end < 0 ? undefined : end;
    });
    if (head === undefined) return undefined;
    const answer = parseHead(this.#take(head + 4).toString('latin1'));
    if (answer.status === 100) return this.answer();
    if (answer.status === 101) return answer;
    answer.body = await this.#body(answer);
    return answer;
  }

  // Resolves when the server has closed the connection.
  async closed() {
    await this.#until(() => (this.#ended ? true : undefined));
    return this.#received;
  }

  async #body(answer) {
    const length = answer.header('content-length');
    if (answer.header('transfer-encoding') === 'chunked') return this.#chunked();
    if (length === undefined) return ''; // enough for refusals, which always say
    await this.#until(() => (this.#received.length >= Number(length) ? true : undefined));
    return this.#take(Number(length)).toString('utf8');
  }

  async #chunked() {
    const parts = [];
    for (;;) {
      const end = await this.#until(() => { const at = this.#received.indexOf('\r\n'); return at < 0 ? undefined : at; });
      const size = Number.parseInt(this.#take(end + 2).toString('latin1'), 16);
      await this.#until(() => (this.#received.length >= size + 2 ? true : undefined));
      parts.push(this.#take(size + 2).subarray(0, size));
      if (size === 0) return Buffer.concat(parts).toString('utf8');
    }
  }

  #take(count) {
    const taken = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return taken;
  }

  async #until(probe) {
    const deadline = Date.now() + DEADLINE;
    for (;;) {
      const found = probe();
      if (found !== undefined) return found;
      if (this.#ended) return undefined;
      if (Date.now() > deadline) throw new Error(`no answer; received so far: ${this.#received.toString('latin1')}`);
      await new Promise((resolve) => { this.#wake = resolve; setTimeout(resolve, 1000).unref(); });
    }
  }
}

function parseHead(text) {
  const [status, ...lines] = text.trimEnd().split('\r\n');
  const headers = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
  return {
    status: Number(status.split(' ')[1]),
    headers,
    header: (name) => headers.find(([each]) => each.toLowerCase() === name.toLowerCase())?.[1],
  };
}
