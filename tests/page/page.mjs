// The status page in a browser: `node page.mjs CASE`. NODE_MODULES has playwright-core and axe-core.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const { NODE_MODULES, CHROMIUM, ROOT, SITE, TOKEN, HOOK, SECRET } = process.env;
const require = createRequire(path.join(NODE_MODULES, 'x.js'));
const { chromium } = require('playwright-core');
const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
const HOSTILE = '<img src=x onerror=window.pwned=1>';

// A page whose every complaint and foreign request fails the case.
async function open(options = {}, root = ROOT) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') page.complaints.push(message.text());
  });
  page.on('pageerror', error => page.complaints.push(String(error)));
  page.on('request', request => {
    if (!request.url().startsWith(root)) page.complaints.push('a foreign request: ' + request.url());
  });
  page.root = root;
  await page.goto(root);
  return page;
}

function clean(page) {
  assert.deepEqual(page.complaints, []);
}

const write = (name, text) => {
  fs.mkdirSync(path.dirname(path.join(SITE, name)), { recursive: true });
  fs.writeFileSync(path.join(SITE, name), text);
};

async function logIn(page) {
  await page.goto(page.root + 'login');
  // The browser gives `autofocus` its focus when it draws the page, which may be after the load.
  await page.locator('[name=token]:focus').waitFor();
  await page.keyboard.type(TOKEN);
  await page.keyboard.press('Tab');
  await page.keyboard.type('alice');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Log out' }).waitFor();
}

const cases = {
  async live() {
    const page = await open();
    await page.getByText('live ·').waitFor();
    const times = [];
    for (const name of ['one.html', 'two.html', 'three.html']) {
      const began = Date.now();
      write(name, name);
      await page.locator('.live code', { hasText: name }).first().waitFor();
      times.push(Date.now() - began);
    }
    times.sort((a, b) => a - b);
    assert.ok(times[1] < 1000, `rows came after ${times} ms`);
    await page.locator('.live li', { hasText: 'three.html' }).getByText('purged after').first().waitFor();
    clean(page);
  },

  async refused() {
    const send = token => fetch(HOOK, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: '{"all": true}',
    });
    const page = await open();
    assert.equal((await send('a wrong one')).status, 401);
    await page.reload();
    const routes = page.locator('#routes');
    for (const part of ['refused: wrong × 1', 'since', '127.0.0.1', 'Do: compare the secret']) {
      await routes.getByText(part).first().waitFor();
    }
    assert.equal((await send(SECRET)).status, 202);
    await routes.getByText('a delivery was taken since').waitFor();
    assert.equal(await routes.getByText('Do:').count(), 0);
    clean(page);
  },

  async alarm() {
    const page = await open();
    await page.getByText('live ·').waitFor();
    fs.renameSync(SITE, SITE + '-away');
    const alarm = page.locator('.alarm');
    await alarm.getByText('Do:').waitFor();
    assert.match(await page.title(), /^\(1\) /);
    assert.match(await page.locator('#state').innerText(), /trouble/);
    assert.match(await alarm.innerText(), /since/);
    fs.renameSync(SITE + '-away', SITE);
    await alarm.waitFor({ state: 'detached' });
    await page.locator('#state', { hasText: 'fresh' }).waitFor();
    assert.doesNotMatch(await page.title(), /^\(/);
    clean(page);
  },

  async hostile() {
    write(HOSTILE + '.html', 'x');
    const delivered = await fetch(HOOK, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', 'idempotency-key': HOSTILE },
      body: JSON.stringify({ paths: [`"'><script>window.pwned=1</script>.html`] }),
    });
    assert.equal(delivered.status, 202, await delivered.text());
    const page = await open();
    await logIn(page);
    await page.goto(ROOT + 'p/www');
    await page.getByText('Pause…').click();
    await page.locator('[name=reason]').fill(`"><script>window.pwned=1</script>${HOSTILE}`);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByText('www is paused').waitFor();
    write(HOSTILE + '.html', 'y');
    const asked = encodeURIComponent(`/${HOSTILE}"><script>window.pwned=1</script>`);
    const file = encodeURIComponent(HOSTILE + '.html');
    for (const at of ['', 'p/www', 'history', 'deliveries', `why?q=${asked}`, `why?q=${file}`, `history?asset=${asked}`, `?q=${asked}`]) {
      await page.goto(ROOT + at);
      const found = await page.evaluate(() => [window.pwned, document.querySelectorAll('img, main script').length]);
      assert.deepEqual(found, [undefined, 0], at);
    }
    await page.goto(ROOT);
    await page.getByText(HOSTILE).first().waitFor();
    clean(page);
  },

  async scriptless() {
    write('without.html', 'script');
    const page = await open({ javaScriptEnabled: false });
    await page.getByText('without.html').first().waitFor();
    await page.getByRole('link', { name: 'www' }).first().click();
    await page.getByRole('heading', { name: 'Origins' }).waitFor();
    await page.getByRole('link', { name: 'History' }).click();
    await page.getByRole('heading', { name: 'History' }).waitFor();
    await page.getByLabel('Status').selectOption('done');
    await page.getByRole('button', { name: 'Filter' }).click();
    assert.match(page.url(), /status=done/);
    await page.goto(ROOT + 'login');
    await page.locator('[name=token]').fill(TOKEN);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('button', { name: 'Log out' }).waitFor();
    clean(page);
  },

  async looks() {
    write('blog/index.html', 'x');
    const once = await open();
    await once.getByText('/blog/index.html').first().waitFor();
    await once.context().close();
    fs.renameSync(SITE, SITE + '-away');
    for (const width of [1280, 390]) {
      for (const colorScheme of ['light', 'dark']) {
        // Only what axe needs to be put in is let through; the other cases run under the policy.
        const page = await open({ viewport: { width, height: 800 }, colorScheme, bypassCSP: true });
        await page.locator('.alarm').first().waitFor();
        await logIn(page);
        for (const at of ['', 'p/www', 'history', 'deliveries', 'why?q=/blog/', 'login']) {
          await page.goto(ROOT + at);
          const where = `${at} ${width} ${colorScheme}`;
          const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(wider <= 0, `${where}: ${wider} px too wide`);
          const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
          const [red] = back.match(/\d+/);
          assert.equal(red < 100, colorScheme === 'dark', `${where}: ${back}`);
          await page.addScriptTag({ content: AXE });
          const { violations } = await page.evaluate(() => axe.run());
          const found = violations.map(one => `${one.id}: ${one.nodes.map(node => node.html).join(' ')}`);
          assert.deepEqual(found, [], where);
        }
        await page.context().close();
      }
    }
  },

  async hidden() {
    const context = await browser.newContext();
    await context.addInitScript(() => {
      const Source = window.EventSource;
      window.streams = [];
      window.EventSource = class extends Source {
        constructor(...of) {
          super(...of);
          window.streams.push(this);
        }
      };
      window.hide = hidden => {
        Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
        document.dispatchEvent(new Event('visibilitychange'));
      };
    });
    const page = await context.newPage();
    await page.goto(ROOT);
    const states = () => page.evaluate(() => window.streams.map(stream => stream.readyState));
    await page.waitForFunction(() => window.streams[0]?.readyState === 1);
    await page.evaluate(() => window.hide(true));
    assert.deepEqual(await states(), [2]);
    await page.evaluate(() => window.hide(false));
    await page.waitForFunction(() => window.streams[1]?.readyState === 1);
    write('seen.html', 'again');
    await page.getByText('seen.html').first().waitFor();
  },

  async operator() {
    const page = await open();
    await logIn(page);
    await page.goto(ROOT + 'p/www');
    // By keyboard alone.
    await page.getByText('Pause…').focus();
    await page.keyboard.press('Enter');
    await page.locator('[name=minutes]').focus();
    await page.keyboard.type('10');
    await page.keyboard.press('Tab');
    await page.keyboard.type('a restore');
    await page.keyboard.press('Enter');
    await page.getByText('www is paused').waitFor();
    await page.getByText('paused by alice (page, session of 127.0.0.1)').first().waitFor();
    // What is being typed is left alone while the page changes around it.
    await page.getByText('Purge assets…').click();
    await page.locator('textarea').fill('/half');
    write('meanwhile.html', 'x');
    await page.locator('.live', { hasText: 'meanwhile.html' }).waitFor();
    assert.equal(await page.locator('textarea').inputValue(), '/half');
    await page.goto(ROOT);
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByText('www goes on').waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('link', { name: 'Log in' }).waitFor();
    clean(page);
  },

  async proxied() {
    // As nginx does with `location /ops/edgepurge/ { proxy_pass http://127.0.0.1:9787/; }`.
    const to = new URL(ROOT);
    const proxy = http.createServer((request, response) => {
      const below = request.url.replace(/^\/ops\/edgepurge/, '');
      if (below === request.url) {
        response.writeHead(404).end();
        return;
      }
      const headers = { ...request.headers, host: to.host };
      const passed = http.request({ host: to.hostname, port: to.port, path: below, method: request.method, headers }, answer => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      passed.on('error', () => response.destroy());
      response.on('close', () => passed.destroy());
      request.pipe(passed);
    });
    await new Promise(listening => proxy.listen(0, '127.0.0.1', listening));
    const page = await open({}, `http://127.0.0.1:${proxy.address().port}/ops/edgepurge/`);
    await page.getByText('live ·').waitFor();
    await logIn(page);
    await page.getByRole('link', { name: 'www' }).first().click();
    await page.getByRole('button', { name: 'Scan now' }).click();
    await page.getByText('www scanned').waitFor();
    for (const name of ['History', 'Deliveries', 'Why?', 'Now']) {
      await page.getByRole('link', { name, exact: true }).click();
      await page.getByRole('navigation').locator(`[aria-current=page]`, { hasText: name }).waitFor();
    }
    clean(page);
    proxy.close();
    proxy.closeAllConnections();
  },
};

try {
  await cases[process.argv[2]]();
} finally {
  await browser.close();
}
