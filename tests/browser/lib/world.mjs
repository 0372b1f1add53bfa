// What a story has: a browser, the center's REST API, and whoever moves the gateways.

import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

import { chromium } from 'playwright-core';

import { checkPage } from './look.mjs';

// No talk with anybody but the center: each would be refused in a closed network, and none is wanted in an open one.
const CHROMIUM = {
  executablePath: process.env.KEROS_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
  ],
};

// Long enough for a loaded machine: a story that waits this long has failed.
const LIMIT_MS = 60_000;

export class World {
  static async open(stage) {
    const world = new World();
    world.stage = stage;
    world.pages = [];
    world.troubles = [];
    world.logIns = new Map();
    world.answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    world.browser = await chromium.launch(CHROMIUM);
    return world;
  }

  /** A page of a browser that nobody has used yet. */
  async page({ width = 1280, height = 900, dark = false, scripts = true, state } = {}) {
    const context = await this.browser.newContext({
      storageState: state,
      baseURL: this.stage.center,
      viewport: { width, height },
      colorScheme: dark ? 'dark' : 'light',
      reducedMotion: 'reduce',
      javaScriptEnabled: scripts,
      locale: 'en-GB',
    });
    context.setDefaultTimeout(LIMIT_MS);
    const page = await context.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') this.troubles.push(`${page.url()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.troubles.push(`${page.url()}: ${error}`));
    this.pages.push(page);
    return page;
  }

  /** A page of somebody who has logged in: the administrator, unless told otherwise. */
  async loggedIn(how = {}) {
    const { user = this.stage.user, password = this.stage.password } = how;
    // Each logs in once: log-ins are slow on purpose, and only so many are taken.
    const state = this.logIns.get(user);
    const page = await this.page({ ...how, state });
    if (state) return page;
    await this.logIn(page, user, password);
    this.logIns.set(user, await page.context().storageState());
    return page;
  }

  async logIn(page, user = this.stage.user, password = this.stage.password) {
    await page.goto('/login');
    await page.getByLabel('Log-in name').fill(user);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'LOG IN' }).click();
    await page.waitForURL((url) => url.pathname !== '/login');
  }

  /** The REST API with the token of the center's file; gives the answer's body. */
  async rest(method, path, body) {
    const response = await fetch(`${this.stage.center}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.stage.token}`, 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
  }

  /** A wish to the one who has started the stage (stage.rs has them all); false: it cannot be done on this machine. */
  async wish(words) {
    console.log(`keros:${words}`);
    const { value, done } = await this.answers.next();
    if (done || !['ok', 'skipped'].includes(value)) throw new Error(`${words}: ${value}`);
    return value === 'ok';
  }

  /** Whether a gateway's tree has this file with this text in it. */
  async hasFile(eui, path, text) {
    const content = await readFile(`${this.stage.folder}/${eui}/root/${path}`, 'utf8').catch(() => '');
    return content.includes(text);
  }

  /** Tries again until it no longer throws. */
  async eventually(what, attempt) {
    const end = Date.now() + LIMIT_MS;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (Date.now() > end) throw new Error(`still not so after ${LIMIT_MS} ms: ${what}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** A form was answered with this status, which the browser's console complains of: the story has meant it. */
  refused(status) {
    const rest = this.troubles.filter((trouble) => !trouble.includes(`responded with a status of ${status}`));
    if (rest.length === this.troubles.length) throw new Error(`nothing was answered with ${status}`);
    this.troubles = rest;
  }

  /** Accessibility and layout of the page as it is now; keeps its picture where pictures are wanted. */
  async check(page, picture) {
    await checkPage(page, picture);
  }

  /** The same page for narrow and wide, light and dark: each is checked. */
  async checkAllLooks(path, picture) {
    for (const width of [1280, 390]) {
      for (const dark of [false, true]) {
        const page = await this.loggedIn({ width, dark });
        await page.goto(path);
        const name = picture && `${picture}-${width}-${dark ? 'dark' : 'light'}`;
        // Four pictures of a page say little more than two.
        await this.check(page, (width === 1280) !== dark ? name : undefined);
        await page.context().close();
      }
    }
  }

  async close() {
    await this.browser.close();
    if (this.troubles.length > 0) throw new Error(`the browser complained:\n${this.troubles.join('\n')}`);
  }

  async tellOfFailure(error) {
    console.log(error?.stack ?? error);
    if (error?.cause) console.log('because of', error.cause?.stack ?? error.cause);
    for (const page of this.pages.filter((page) => !page.isClosed())) {
      const text = await page.locator('body').innerText({ timeout: 2000 }).catch(String);
      console.log(`--- ${page.url()}\n${text}`);
      if (process.env.KEROS_FAILURES) {
        const path = `${process.env.KEROS_FAILURES}/${Date.now()}.png`;
        await page.screenshot({ path, fullPage: true }).catch(console.log);
      }
    }
    console.log(this.troubles.join('\n'));
    await this.browser.close().catch(console.log);
  }
}
