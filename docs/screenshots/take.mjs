// Takes the pictures: `node take.mjs PROGRAM DIRECTORY`. What differs between machines (names, paths) is replaced.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

const [program, to] = process.argv.slice(2);
const require = createRequire(path.join(process.env.NODE_MODULES, 'x.js'));
const { chromium } = require('playwright-core');

const home = fs.mkdtempSync(path.join(os.tmpdir(), 'edgepurge-pictures-'));
const demo = spawn(program, ['demo', '--state', home], { stdio: ['ignore', 'pipe', 'inherit'] });
const said = {};
for await (const line of readline.createInterface({ input: demo.stdout })) {
  const [, what, value] = line.match(/^(\w+) +(\S+)/) ?? [];
  if (what) said[what] ??= value;
  if (line.includes('Ctrl-C')) break;
}
demo.stdout.resume();

const write = (name, text) => fs.writeFileSync(path.join(said.origin, name), text);
const shown = text => text.replaceAll(home, '/srv/demo').replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:9787');

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });

async function page(options) {
  const context = await browser.newContext({ timezoneId: 'UTC', locale: 'en-GB', ...options });
  const page = await context.newPage();
  await page.goto(said.page);
  await page.getByText('live ·').waitFor();
  return page;
}

async function picture(page, name) {
  await page.evaluate(home => {
    document.querySelector('.brand span').textContent = 'web-1';
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      text.data = text.data.replaceAll(home, '/srv/demo').replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:9787');
    }
  }, home);
  await page.screenshot({ path: path.join(to, name), fullPage: true });
  await page.context().close();
}

// What a terminal shows, with its colours.
function html(text) {
  const colours = { 31: '#ff8a80', 32: '#56d364', 33: '#e3b341', 34: '#79b8ff', 36: '#76e3ea', 90: '#a3abb5' };
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const spans = escaped.replaceAll(/\x1b\[([\d;]*)m/g, (_, codes) => {
    const styles = codes.split(';').map(Number).map(code => {
      if (code === 1) return 'font-weight:bold';
      if (code === 2) return 'opacity:.7';
      return colours[code] ? `color:${colours[code]}` : '';
    });
    return codes === '' || codes === '0' ? '</span><span>' : `</span><span style="${styles.join(';')}">`;
  });
  return `<body style="margin:0;background:#0f1216"><pre style="margin:0;padding:14px;box-sizing:border-box;display:inline-block;max-width:72rem;white-space:pre-wrap;color:#e6e8eb;` +
    `font:14px/1.45 ui-monospace,monospace"><span>${spans}</span></pre>`;
}

try {
  const day = await page({ viewport: { width: 1100, height: 600 }, colorScheme: 'light' });
  for (const [name, text] of [['blog/second.html', 'Second'], ['style.css', 'h1 { color: navy }'], ['index.html', '<h1>News</h1>']]) {
    write(name, text);
    await day.locator('.live li', { hasText: name }).getByText('purged after').first().waitFor();
  }
  await day.locator('#state', { hasText: 'fresh' }).waitFor();
  await picture(day, 'page-light.png');

  fs.renameSync(said.origin, said.origin + '-away');
  const night = await page({ viewport: { width: 1100, height: 600 }, colorScheme: 'dark' });
  await night.locator('.alarm').first().waitFor();
  await picture(night, 'page-dark.png');
  const phone = await page({ viewport: { width: 390, height: 700 }, colorScheme: 'light' });
  await phone.locator('.alarm').first().waitFor();
  await picture(phone, 'page-phone.png');

  const status = execFileSync(program, ['--config', said.config, '--color', 'always', 'status'], { encoding: 'utf8' });
  const terminal = await browser.newPage({ viewport: { width: 1160, height: 100 } });
  await terminal.setContent(html('$ edgepurge status\n' + shown(status)));
  await terminal.locator('pre').screenshot({ path: path.join(to, 'status.png') });
} finally {
  await browser.close();
  demo.kill('SIGINT');
  fs.rmSync(home, { recursive: true, force: true });
}
