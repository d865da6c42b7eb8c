'use strict';
// Starts a Node app the way the gateway does, and asks it things.

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const PRELOAD = path.join(__dirname, '../../crates/gateway/src/supervise/preload.cjs');
const PROOF = '0f1e2d3c4b5a69788796a5b4c3d2e1f0';

// `args` are Node's. The app is up as soon as `host` takes a connection on its port.
async function start(t, args, { env = {}, host = '127.0.0.1', port, stdio = [] } = {}) {
  port ??= await freePort();
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'preload-'));
  const marker = path.join(folder, 'preloaded');
  const child = spawn(process.execPath, args, {
    cwd: __dirname,
    stdio: ['ignore', 'pipe', 'pipe', ...stdio],
    env: {
      PATH: process.env.PATH,
      NODE_OPTIONS: `--require "${PRELOAD.replace(/["\\]/g, '\\$&')}"`,
      PORT: String(port),
      FOLDER: folder,
      PANOPLY_PORT: String(port),
      PANOPLY_PROOF: PROOF,
      PANOPLY_PRELOADED: marker,
      ...env,
    },
  });
  const app = { port, folder, pid: child.pid, stdout: '', stderr: '', exited: false };
  child.stdout.on('data', (data) => { app.stdout += data; });
  child.stderr.on('data', (data) => { app.stderr += data; });
  const gone = new Promise((resolve) => child.on('close', resolve)).then(() => { app.exited = true; });
  app.marker = () => (fs.existsSync(marker) ? fs.readFileSync(marker, 'utf8') : null);
  app.gone = gone;
  t.after(async () => {
    child.kill();
    await gone;
    fs.rmSync(folder, { recursive: true });
  });
  if (host) await until(() => reaches(host, port), app);
  return app;
}

async function until(holds, app) {
  // Long, since a busy machine takes its time to start three Node processes for each of eight tests at once.
  for (const end = Date.now() + 60_000; Date.now() < end; await sleep(20)) {
    if (await holds()) return;
    if (app.exited) break;
  }
  throw new Error(`the app did not get there\n${app.stdout}${app.stderr}`);
}

function reaches(host, port) {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port });
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false)).on('connect', () => socket.destroy());
  });
}

// Which of the ways in are open. Linux answers on all of 127.0.0.0/8, so 127.0.0.2 stands for any other address.
async function open(port) {
  const hosts = ['127.0.0.1', '127.0.0.2', '::1'];
  const answers = await Promise.all(hosts.map((host) => reaches(host, port)));
  return hosts.filter((_, at) => answers[at]);
}

// One that no other test gets, below those that the system gives to connections: of these another program may have it
// before the app does.
let next = 12_000 + (process.pid % 80) * 100;

function freePort() {
  const port = next++;
  return new Promise((resolve) => {
    const server = net.createServer().on('error', () => resolve(freePort()));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(port)));
  });
}

// The response with its text as `body`, and as `json` where it is JSON.
function ask(port, headers, { method = 'GET', path = '/', agent, body } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request({ host: '127.0.0.1', port, method, path, headers, agent }, async (res) => {
      res.body = (await res.setEncoding('utf8').toArray()).join('');
      res.json = /json/.test(res.headers['content-type']) ? JSON.parse(res.body) : undefined;
      res.reused = req.reusedSocket;
      resolve(res);
    });
    req.on('error', reject).end(body);
  });
}

// All that a request written by hand is answered, for what http.request cannot say.
function say(port, lines) {
  return new Promise((resolve, reject) => {
    let answer = '';
    net.connect({ host: '127.0.0.1', port })
      .setEncoding('utf8')
      .on('data', (data) => { answer += data; })
      .on('close', () => resolve(answer))
      .on('error', reject)
      .write(`${lines.join('\r\n')}\r\n\r\n`);
  });
}

function visitor(ip, port, proof = PROOF) {
  return { 'x-panoply-visitor': `${proof} ${ip} ${port}` };
}

module.exports = { PRELOAD, PROOF, ask, freePort, open, say, start, until, visitor };
