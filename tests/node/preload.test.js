'use strict';
// The promises of preload.cjs, asked of real Node processes: only loopback is bound, and the socket shows the visitor.

const assert = require('node:assert/strict');
const http = require('node:http');
const net = require('node:net');
const { describe, test } = require('node:test');
const { WebSocket } = require('ws');
const { PRELOAD, PROOF, ask, freePort, open, say, start, until, visitor } = require('./harness.js');

const NOT_ASKED = { PANOPLY_PORT: undefined, PANOPLY_PROOF: undefined, PANOPLY_PRELOADED: undefined };
const STATED = {
  'x-forwarded-for': '203.0.113.9',
  'x-forwarded-host': 'shop.example',
  'x-forwarded-port': '443',
  'x-forwarded-proto': 'https',
  forwarded: 'for=203.0.113.9;proto=https',
};

const listening = (form) => ['-e', `
  const port = Number(process.env.PORT), text = process.env.PORT;
  require('http').createServer((req, res) => res.end('ok')).${form};`];

describe('the port of the app is bound on loopback only', { concurrency: 8 }, () => {
  for (const form of [
    'listen(port)',
    'listen(text)',
    'listen(port, () => {})',
    'listen(port, undefined, () => {})',
    'listen(port, 16)',
    'listen(port, 16, () => {})',
    'listen(port, "", () => {})',
    'listen(port, "0.0.0.0")',
    'listen(port, "0.0.0.0", () => {})',
    'listen(port, "0.0.0.0", 16, () => {})',
    'listen(text, "::", () => {})',
    'listen(port, "0")',
    'listen(port, "::ffff:0.0.0.0")',
    'listen(port, "0:0:0:0:0:0:0:0")',
    'listen({ port })',
    'listen({ port: text }, () => {})',
    'listen({ port, host: null })',
    'listen({ port, host: "" }, () => {})',
    'listen({ port, host: "0.0.0.0", backlog: 16, exclusive: true })',
    'listen({ port, host: "::", ipv6Only: true }, () => {})',
    'listen({ port, ipv6Only: true })',
    'listen(new (class { get port() { return port; } })())',
  ]) {
    test(form, async (t) => {
      const app = await start(t, listening(form));
      assert.deepEqual(await open(app.port), ['127.0.0.1']);
      await until(app.marker, app);
      assert.equal(app.marker(), String(app.pid));
      assert.equal((await ask(app.port)).body, 'ok');
      assert.equal(app.stderr, '');
    });
  }

  test('of an ES module', async (t) => {
    const app = await start(t, ['--input-type=module', '-e', `
      import express from 'express';
      express().get('/', (req, res) => res.json({ ip: req.ip, secure: req.secure })).listen(process.env.PORT);`]);
    assert.deepEqual(await open(app.port), ['127.0.0.1']);
    assert.deepEqual((await ask(app.port, visitor('203.0.113.9', 40000))).json, { ip: '203.0.113.9', secure: true });
  });

  test('of a server handed to `http.Server` by name, with its options', async (t) => {
    const app = await start(t, ['-e', `
      const server = new (require('http').Server)({ keepAliveTimeout: 1000 });
      server.on('request', (req, res) => res.end(req.socket.remoteAddress));
      server.listen({ port: Number(process.env.PORT), host: '0.0.0.0' });`]);
    assert.deepEqual(await open(app.port), ['127.0.0.1']);
    assert.equal((await ask(app.port, visitor('203.0.113.9', 40000))).body, '203.0.113.9');
  });

  for (const POLICY of ['SCHED_RR', 'SCHED_NONE']) {
    for (const LISTEN of [
      'app.listen(port)',
      'app.listen(String(port), () => {})',
      'app.listen(port, "0.0.0.0")',
      'app.listen(port, "::", () => {})',
    ]) {
      test(`of cluster workers: ${LISTEN}, ${POLICY}`, async (t) => {
        const app = await start(t, ['fixtures/cluster.js'], { env: { POLICY, LISTEN } });
        assert.deepEqual(await open(app.port), ['127.0.0.1']);
        await until(app.marker, app);
        const { ip, secure } = (await ask(app.port, visitor('203.0.113.9', 40000))).json;
        assert.deepEqual({ ip, secure }, { ip: '203.0.113.9', secure: true });
      });
    }
  }
});

describe('what is not the port of the app is left alone', { concurrency: 8 }, () => {
  test('another host: bound as asked, and marked', async (t) => {
    const app = await start(t, listening('listen(port, "127.0.0.2")'), { host: '127.0.0.2' });
    assert.deepEqual(await open(app.port), ['127.0.0.2']);
    await until(app.marker, app);
  });

  test('another port', async (t) => {
    const app = await start(t, listening('listen(port)'), { env: { PANOPLY_PORT: '1' } });
    assert.ok((await open(app.port)).includes('127.0.0.2'));
    assert.equal(app.marker(), null);
  });

  test('a random port', async (t) => {
    const app = await start(t, ['-e', `
      const server = require('net').createServer().listen(0, () => { console.log(server.address().address); server.close(); });`],
      { host: null });
    await app.gone;
    assert.match(app.stdout, /^(::|0\.0\.0\.0)\n$/);
  });

  for (const form of ['listen(path)', 'listen({ path })']) {
    test(`a pipe: ${form}`, async (t) => {
      const app = await start(t, ['-e', `
        const path = require('path').join(process.env.FOLDER, process.env.PORT);
        const server = require('net').createServer().${form};
        server.on('listening', () => { console.log(server.address() === path); server.close(); });`], { host: null });
      await app.gone;
      assert.equal(app.stdout, 'true\n', app.stderr);
      assert.equal(app.marker(), null);
    });
  }

  test('a file descriptor', async (t) => {
    const server = net.createServer().listen(0, '0.0.0.0');
    await new Promise((resolve) => server.on('listening', resolve));
    const { port } = server.address();
    const app = await start(t, listening('listen({ fd: 3, port })'), { port, stdio: [server._handle.fd] });
    server.close();
    await until(async () => (await ask(port)).body === 'ok', app);
    assert.ok((await open(port)).includes('127.0.0.2'));
  });

  test('the options of the app, which it may use again', async (t) => {
    const app = await start(t, ['-e', `
      const options = Object.freeze({ port: Number(process.env.PORT), host: '::', ipv6Only: true });
      require('net').createServer().listen(options);`]);
    assert.deepEqual(await open(app.port), ['127.0.0.1']);
  });
});

describe('listening behaves as without us', { concurrency: 8 }, () => {
  test('the address is there right after `listen`, and the callback runs once', async (t) => {
    const app = await start(t, ['-e', `
      const server = require('http').createServer();
      server.listen(process.env.PORT, function () { console.log(this === server); });
      console.log(JSON.stringify(server.address()));`]);
    await until(() => app.stdout.includes('true'), app);
    const address = JSON.stringify({ address: '127.0.0.1', family: 'IPv4', port: app.port });
    assert.equal(app.stdout, `${address}\ntrue\n`);
  });

  test('a port in use is the usual error, marks nothing, and may be tried again', async (t) => {
    const taken = net.createServer();
    const port = await freePort();
    await new Promise((resolve) => taken.listen(port, '127.0.0.1', resolve));
    t.after(() => taken.close());
    const app = await start(t, ['-e', `
      const server = require('http').createServer((req, res) => res.end('ok'));
      server.on('error', (error) => { console.log(error.code); setTimeout(() => server.listen(process.env.PORT), 20); });
      server.listen(process.env.PORT);`], { port });
    await until(() => app.stdout.split('EADDRINUSE').length > 12, app);
    assert.equal(app.marker(), null);
    await new Promise((resolve) => taken.close(resolve));
    await until(app.marker, app);
    assert.equal(app.stderr, '', 'no warning of leaking listeners');
  });

  test('closed and opened again, it is still loopback', async (t) => {
    const app = await start(t, ['-e', `
      const server = require('http').createServer((req, res) => res.end('ok'));
      server.listen(process.env.PORT, () => server.close(() => server.listen(process.env.PORT, () => console.log('again'))));`]);
    await until(() => app.stdout.includes('again'), app);
    assert.deepEqual(await open(app.port), ['127.0.0.1']);
  });

  test('a marker that cannot be written does not matter', async (t) => {
    const app = await start(t, listening('listen(port)'), { env: { PANOPLY_PRELOADED: '/nowhere/at/all' } });
    assert.equal((await ask(app.port)).body, 'ok');
  });
});

describe('the socket shows the visitor the gateway vouches for', { concurrency: 8 }, () => {
  for (const [TRUST_PROXY, name] of [[undefined, 'unset'], ['1', '1'], ['true', 'true'], ['"loopback"', 'loopback']]) {
    for (const [ip, family] of [['203.0.113.9', 'IPv4'], ['2001:db8::9', 'IPv6']]) {
      test(`trust proxy ${name}, ${ip}`, async (t) => {
        const app = await start(t, ['fixtures/visitor.js'], { env: { TRUST_PROXY } });
        const { json } = await ask(app.port, { ...STATED, ...visitor(ip, 40000), host: 'shop.example', accept: 'a' });
        assert.deepEqual(json, {
          ip,
          ips: [],
          secure: true,
          protocol: 'https',
          hostname: 'shop.example',
          socket: { encrypted: true, remoteAddress: ip, remotePort: 40000, remoteFamily: family },
          headers: { 'x-forwarded-proto': 'https', host: 'shop.example', accept: 'a', connection: json.headers.connection },
          distinct: { 'x-forwarded-proto': ['https'], host: ['shop.example'], accept: ['a'], connection: [json.headers.connection] },
          raw: ['x-forwarded-proto', 'https', 'host', 'shop.example', 'accept', 'a', 'Connection', json.headers.connection],
        });
      });
    }
  }

  test('whatever kind of request it is', async (t) => {
    const app = await start(t, ['fixtures/visitor.js']);
    for (const [kind, line, ...more] of [
      ['request', 'GET / HTTP/1.1', 'Connection: close'],
      ['upgrade', 'GET / HTTP/1.1', 'Connection: upgrade', 'Upgrade: other'],
      ['connect', 'CONNECT shop.example:443 HTTP/1.1'],
      ['checkContinue', 'GET / HTTP/1.1', 'Expect: 100-continue', 'Connection: close'],
      ['checkExpectation', 'GET / HTTP/1.1', 'Expect: other', 'Connection: close'],
    ]) {
      const answer = await say(app.port, [
        line, 'Host: a', 'X-Forwarded-For: 198.51.100.1', `X-Panoply-Visitor: ${PROOF} 203.0.113.9 40000`, ...more,
      ]);
      const { socket, raw } = JSON.parse(answer.match(/^\{.*\}$/m)[0]);
      assert.deepEqual(socket, { encrypted: true, remoteAddress: '203.0.113.9', remotePort: 40000, remoteFamily: 'IPv4' }, kind);
      assert.ok(!/panoply|forwarded/i.test(raw), `${kind}: ${raw}`);
    }
  });

  test('one after the other on one connection, and nobody after an unproven request', async (t) => {
    const app = await start(t, ['fixtures/visitor.js']);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    for (const [headers, ip, secure, reused] of [
      [visitor('203.0.113.9', 40000), '203.0.113.9', true, false],
      [visitor('2001:db8::7', 50000), '2001:db8::7', true, true],
      [{}, '127.0.0.1', false, true],
      [visitor('203.0.113.8', 40001), '203.0.113.8', true, true],
      [visitor('203.0.113.7', 40002, 'wrong'), '127.0.0.1', false, true],
    ]) {
      const res = await ask(app.port, headers, { agent });
      const { ip: seenIp, secure: seenSecure, socket } = res.json;
      assert.deepEqual([seenIp, seenSecure, socket.encrypted, res.reused], [ip, secure, secure || undefined, reused]);
    }
  });
});

test('a request without the proof marks nothing, and its header goes no further', async (t) => {
  const app = await start(t, ['fixtures/visitor.js']);
  const ip = '203.0.113.9';
  for (const claim of [
    [`${'0'.repeat(PROOF.length)} ${ip} 40000`],
    [`${PROOF.slice(0, -1)} ${ip} 40000`],
    [`${PROOF}0 ${ip} 40000`],
    [`${PROOF.toUpperCase()} ${ip} 40000`],
    [` ${ip} 40000`],
    [PROOF],
    [`${PROOF} ${ip}`],
    [`${PROOF} ${ip} 40000 more`],
    [`${PROOF} ${ip} 70000`],
    [`${PROOF} ${ip} port`],
    [`${PROOF} shop.example 40000`],
    [`${PROOF} [2001:db8::9] 40000`],
    [''],
    [`${PROOF} ${ip} 40000`, `${PROOF} ${ip} 40000`], // the gateway sends one: the other is the visitor's
  ]) {
    const { json } = await ask(app.port, { 'x-panoply-visitor': claim, 'x-forwarded-for': ip });
    assert.equal(json.ip, '127.0.0.1', claim);
    assert.equal(json.secure, false, claim);
    assert.ok(!/panoply/i.test(JSON.stringify([json.headers, json.distinct, json.raw])), claim);
    assert.equal(json.headers['x-forwarded-for'], ip, 'what the app was told before, it is still told');
  }
});

describe('real middleware works unchanged', { concurrency: 8 }, () => {
  const login = { method: 'POST', path: '/login', body: 'email=ann@shop.example&password=correct+horse' };
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const us = visitor('203.0.113.9', 40000);

  test('express-session sets its secure cookie, and the session lasts', async (t) => {
    const app = await start(t, ['shop.js']);
    assert.equal((await ask(app.port, form, login)).headers['set-cookie'], undefined, 'lost without the gateway');
    const signedIn = await ask(app.port, { ...form, ...us }, login);
    assert.equal(signedIn.statusCode, 302);
    const [cookie] = signedIn.headers['set-cookie'];
    assert.match(cookie, /^connect\.sid=s%3A.*; Secure$/);
    const account = await ask(app.port, { ...us, cookie: cookie.split(';')[0] }, { path: '/account' });
    assert.match(account.body, /ann@shop\.example/);
  });

  test('a WebSocket shares that session', async (t) => {
    const app = await start(t, ['shop.js']);
    const signedIn = await ask(app.port, { ...form, ...us }, login);
    const cookie = signedIn.headers['set-cookie'][0].split(';')[0];
    const socket = new WebSocket(`ws://127.0.0.1:${app.port}/ws`, { headers: { ...us, cookie } });
    const said = await new Promise((resolve, reject) => {
      socket.on('open', () => socket.send('hello')).on('message', resolve).on('error', reject);
    });
    socket.terminate();
    assert.equal(String(said), 'ann@shop.example: hello');
  });

  test('cookie-session does not refuse its secure cookie', async (t) => {
    const app = await start(t, ['-e', `
      const app = require('express')();
      app.use(require('cookie-session')({ keys: ['key'], secure: true }));
      app.get('/', (req, res) => { req.session.user = 'ann'; res.end(); });
      app.listen(process.env.PORT);`]);
    assert.equal((await ask(app.port)).headers['set-cookie'], undefined);
    assert.match((await ask(app.port, us)).headers['set-cookie'][0], /secure/i);
  });

  test('express-rate-limit counts visitors and has nothing to complain of', async (t) => {
    const limited = ['-e', `
      const app = require('express')();
      app.use(require('express-rate-limit').rateLimit({ limit: 1 }));
      app.get('/', (req, res) => res.end());
      app.listen(process.env.PORT);`];
    const app = await start(t, limited);
    for (const [ip, status] of [['203.0.113.9', 200], ['203.0.113.9', 429], ['203.0.113.8', 200]]) {
      assert.equal((await ask(app.port, { ...STATED, ...visitor(ip, 40000) })).statusCode, status, ip);
    }
    assert.equal(app.stderr, '');
    const unproven = await start(t, limited); // it looks at the first request only, so a fresh one
    await ask(unproven.port, STATED);
    await until(() => unproven.stderr.includes('ERR_ERL_UNEXPECTED_X_FORWARDED_FOR'), unproven);
  });
});

describe('a process the gateway asks nothing of is untouched', { concurrency: 8 }, () => {
  const shape = `
    const { Server } = require('http'), { Server: Parent } = require('net');
    console.log(Object.hasOwn(Server.prototype, 'emit'), Parent.prototype.listen.toString().includes('normalizeArgs'));`;

  for (const [name, env] of [
    ['no variables', NOT_ASKED],
    ['empty ones', { PANOPLY_PORT: '', PANOPLY_PROOF: '', PANOPLY_PRELOADED: '' }],
    ['a port that is none', { ...NOT_ASKED, PANOPLY_PORT: 'junk' }],
    ['port 0', { ...NOT_ASKED, PANOPLY_PORT: '0' }],
  ]) {
    test(name, async (t) => {
      const app = await start(t, ['-e', shape], { env, host: null });
      await app.gone;
      assert.equal(app.stdout + app.stderr, 'false true\n');
    });
  }

  test('it binds what it asks for and reads what it is sent', async (t) => {
    const app = await start(t, ['fixtures/visitor.js'], { env: NOT_ASKED });
    assert.ok((await open(app.port)).includes('127.0.0.2'));
    const { json } = await ask(app.port, { ...visitor('203.0.113.9', 40000), ...STATED });
    assert.equal(json.secure, false);
    assert.match(json.ip, /127\.0\.0\.1$/);
    assert.ok('x-panoply-visitor' in json.headers && 'x-forwarded-for' in json.headers);
  });

  test('loading no module it would not load itself', async (t) => {
    const list = ['-p', 'process.moduleLoadList.length'];
    const plain = await start(t, list, { env: { ...NOT_ASKED, NODE_OPTIONS: '' }, host: null });
    const loaded = await start(t, list, { env: NOT_ASKED, host: null });
    await Promise.all([plain.gone, loaded.gone]);
    assert.ok(Number(loaded.stdout) - Number(plain.stdout) < 10, `${plain.stdout}${loaded.stdout}`);
  });

  test('the proof stays in the environment for children, and the file loads twice without harm', async (t) => {
    const app = await start(t, ['-e', `
      const copy = process.env.FOLDER + '/copy.cjs';
      require('fs').copyFileSync(${JSON.stringify(PRELOAD)}, copy);
      require(copy);
      require('http').createServer((req, res) => {
        res.end([req.socket.remoteAddress, process.env.PANOPLY_PROOF].join());
      }).listen(process.env.PORT);`]);
    assert.equal((await ask(app.port, visitor('203.0.113.9', 40000))).body, `203.0.113.9,${PROOF}`);
  });
});
