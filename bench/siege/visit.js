'use strict';
// Those who came to stay: a WebSocket, a stream of events, a download and an upload that are slow and steady, and
// somebody who logs in. It says in JSON how each of them fared.

const fs = require('node:fs');
const https = require('node:https');
const WebSocket = require('ws');

const [address, port, seconds, megabytes, cert, jarFile] = process.argv.slice(2);
const host = 'shop.example';
const ca = fs.readFileSync(cert);
const target = { host: address, port, servername: host, ca, headers: { host } };
const begun = Date.now();
const length = Number(seconds) * 1000;
const bytes = Number(megabytes) * 1024 * 1024;
const said = {};

const kinds = { echo, events, download, upload, logins };
Promise.all(Object.entries(kinds).map(async ([name, visit]) => {
  try {
    said[name] = await visit();
  } catch (error) {
    said[name] = { failed: 1, why: String(error.message || error) };
  }
})).then(() => {
  console.log(JSON.stringify(said));
  process.exit(0);
});

function left() {
  return begun + length - Date.now();
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function echo() {
  const socket = new WebSocket(`wss://${host}:${port}/long/echo`, { ca, servername: host, lookup });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const times = [];
  let failed = 0;
  const closed = new Promise((resolve) => socket.once('close', resolve)).then(() => (failed += 1));
  socket.on('error', () => {});
  // Who was let in late says and hears one word all the same.
  while ((left() > 0 || times.length === 0) && !failed) {
    const sent = Date.now();
    const back = new Promise((resolve) => socket.once('message', resolve));
    socket.send(String(sent));
    await Promise.race([back, closed]);
    times.push(Date.now() - sent);
    await sleep(100);
  }
  return { sent: times.length, failed, ...spread(times) };
}

function lookup(name, options, callback) {
  if (options.all) return callback(null, [{ address, family: 4 }]);
  return callback(null, address, 4);
}

async function events() {
  const response = await ask('GET', '/long/events');
  const gaps = [];
  let [last, failed] = [Date.now(), 0];
  response.on('data', () => {
    gaps.push(Date.now() - last);
    last = Date.now();
  });
  response.on('close', () => (failed += 1)).on('error', () => {});
  while ((left() > 0 || gaps.length === 0) && !failed) await sleep(50);
  return { sent: gaps.length, failed, ...spread(gaps) };
}

// As fast as it takes to be done shortly before the end.
async function download() {
  const response = await ask('GET', `/long/download?bytes=${bytes}`);
  let came = 0;
  for await (const piece of response) {
    came += piece.length;
    await ahead(came);
  }
  return { sent: 1, failed: came === bytes ? 0 : 1, bytes: came };
}

async function upload() {
  const { request, response } = open('POST', '/long/upload', { 'content-length': bytes });
  const piece = Buffer.alloc(64 * 1024, 'x');
  for (let sent = 0; sent < bytes; sent += piece.length) {
    if (!request.write(piece)) await Promise.race([new Promise((resolve) => request.once('drain', resolve)), response]);
    await ahead(sent);
  }
  request.end();
  const answer = JSON.parse(await text(await response));
  return { sent: 1, failed: answer.bytes === bytes ? 0 : 1, bytes: answer.bytes };
}

async function ahead(done) {
  const due = begun + (length * 0.9 * done) / bytes;
  if (due > Date.now() + 20) await sleep(due - Date.now());
}

// The browser that once logged in brings what it was given, as browsers do.
async function logins() {
  const jar = new Map(fs.existsSync(jarFile) ? JSON.parse(fs.readFileSync(jarFile)) : []);
  let [sent, failed] = [0, 0];
  const statuses = {};
  while (left() > 0) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const body = 'user=ann&password=correct+horse';
    const { request, response } = open('POST', '/login', {
      'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length, ...(cookie && { cookie }),
      'sec-fetch-site': 'same-origin',
    });
    request.end(body);
    const answer = await response;
    await text(answer);
    sent += 1;
    if (answer.statusCode !== 200) failed += 1;
    statuses[answer.statusCode] = (statuses[answer.statusCode] || 0) + 1;
    for (const line of answer.headers['set-cookie'] || []) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      jar.set(name, value);
    }
    await sleep(2000);
  }
  fs.writeFileSync(jarFile, JSON.stringify([...jar]));
  return { sent, failed, statuses };
}

async function ask(method, path) {
  const { request, response } = open(method, path, {});
  request.end();
  const answer = await response;
  if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode}`);
  return answer;
}

function open(method, path, headers) {
  const request = https.request({ ...target, method, path, agent: false, headers: { host, ...headers } });
  const response = new Promise((resolve, reject) => request.once('response', resolve).on('error', reject));
  response.catch(() => {});
  return { request, response };
}

async function text(response) {
  let body = '';
  for await (const piece of response) body += piece;
  return body;
}

function spread(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), worst: sorted.at(-1) ?? 0 };
}
