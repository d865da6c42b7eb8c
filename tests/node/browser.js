// A browser uses the shop through the gateway, as a person would: `node browser.js https://localhost:PORT [SESSION]`,
// where SESSION is the name of its cookie.
// Prints one line of JSON for each step; ends with an error where a step does not work.
'use strict';

const { chromium } = require('playwright-core');
const assert = require('node:assert/strict');

const SESSION = process.argv[3] || 'connect.sid';
const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const QUIET = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

const steps = {
  async 'a page with its script'(page, at) {
    const answer = await page.goto(at);
    assert.equal(answer.status(), 200);
  },
  async 'a wrong password, then the right one'(page, at) {
    await page.goto(at);
    await login(page, 'wrong');
    await page.waitForSelector('input[name=password]');
    await login(page, 'correct horse');
    await page.waitForURL('**/account');
    assert.match(await page.textContent('body'), /a@b\.example/);
    const [session] = (await page.context().cookies()).filter((cookie) => cookie.name === SESSION);
    assert.deepEqual([session.secure, session.httpOnly, session.sameSite], [true, true, 'Lax']);
  },
  async 'an upload'(page, at) {
    await page.goto(at);
    await page.setInputFiles('input[type=file]', { name: 'a.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(3e6, 7) });
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.url().endsWith('/upload')),
      page.locator('form:has(input[type=file])').evaluate((form) => form.requestSubmit()),
    ]);
    assert.equal((await answer.json()).size, 3e6);
  },
  async 'a chat over WebSocket'(page, at) {
    const said = await page.goto(`${at}/chat`).then(() => page.evaluate(() => new Promise((resolve, reject) => {
      const socket = new WebSocket(`wss://${location.host}/ws`);
      socket.onopen = () => socket.send('hello from a browser');
      socket.onmessage = (message) => String(message.data).includes('hello from a browser') && resolve(message.data);
      socket.onerror = () => reject(new Error('the socket broke'));
    })));
    assert.match(said, /hello from a browser/);
  },
  async 'server-sent events'(page, at) {
    await page.goto(`${at}/live`);
    await page.waitForFunction(async () => (await new Promise((resolve) => {
      const source = new EventSource('/events');
      let seen = 0;
      source.onmessage = () => { if (++seen === 3) { source.close(); resolve(seen); } };
    })) === 3);
  },
  async 'a mistake shows nothing of the inside'(page, at) {
    const answer = await page.goto(`${at}/crash`);
    assert.equal(answer.status(), 500);
    assert.doesNotMatch(await page.textContent('body'), /shop\.js|node_modules|at /);
  },
};

async function login(page, password) {
  await page.fill('input[name=email]', 'a@b.example');
  await page.fill('input[name=password]', password);
  await page.locator('form:has(input[name=password])').evaluate((form) => form.requestSubmit());
}

async function main(at) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', ...QUIET], timeout: 120_000 });
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  // A busy machine takes its time.
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  for (const [name, step] of Object.entries(steps)) {
    await step(page, at);
    console.log(JSON.stringify({ step: name, works: true }));
  }
  await browser.close();
  assert.deepEqual(complaints, []);
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
