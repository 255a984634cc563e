// A page as it is in an incident: `node incident.mjs`. It has to show WORDS, a list in JSON; with SHOT, a picture
// of it is kept there.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';

const { NODE_MODULES, CHROMIUM, AT, WORDS, SHOT } = process.env;
const require = createRequire(path.join(NODE_MODULES, 'x.js'));
const { chromium } = require('playwright-core');

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
try {
  const page = await browser.newPage({ viewport: { width: 1100, height: 700 } });
  await page.goto(AT);
  const words = JSON.parse(WORDS);
  const plain = async () => (await page.locator('main').innerText()).replace(/\s+/g, ' ');
  const missing = text => words.filter(word => !text.includes(word));
  const whole = words => words.every(word => document.querySelector('main').innerText.replace(/\s+/g, ' ').includes(word));
  await page.waitForFunction(whole, words, { timeout: 20000 }).catch(() => {});
  if (SHOT) await page.screenshot({ path: SHOT, fullPage: true });
  const text = await plain();
  assert.deepEqual(missing(text), [], text);
} finally {
  await browser.close();
}
