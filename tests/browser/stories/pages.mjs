// Each page there is: how it looks, whom it serves, where it leads.

import assert from 'node:assert/strict';

import { OTHERS, PAGES, furnish } from '../lib/pages.mjs';

/** What nobody sees but who has not logged in. */
const OUTSIDE = ['/login', '/set-up/{secret}'];

/** A page of the center in this window; it is there, and says where one is. */
async function open(window, place) {
  const answer = await window.goto(place);
  assert.equal(answer.status(), 200, place);
  assert.equal(await window.getByRole('main').count(), 1, place);
  assert.equal(await window.getByRole('heading', { level: 1 }).count(), 1, place);
}

/** Each page in a window of this width, light and dark. */
async function lookAtAll(world, width, stage) {
  const inside = await world.loggedIn({ width });
  const outside = await world.page({ width });
  for (const [route, place] of Object.entries(PAGES)) {
    const window = OUTSIDE.includes(route) ? outside : inside;
    await open(window, place(stage));
    for (const colorScheme of ['light', 'dark']) {
      await window.emulateMedia({ colorScheme });
      await world.check(window, `page${route.replaceAll(/[^a-z]+/g, '-')}-${width}-${colorScheme}`);
    }
  }
}

export async function every_page_is_accessible_and_fits_narrow_and_wide_light_and_dark(world) {
  const stage = await furnish(world);
  for (const width of [1280, 390]) await lookAtAll(world, width, stage);
}

export async function every_page_is_there_without_scripts_and_its_links_lead_somewhere(world) {
  const stage = await furnish(world);
  const inside = await world.loggedIn({ scripts: false });
  const outside = await world.page({ scripts: false });
  const links = new Set();
  for (const [route, place] of Object.entries(PAGES)) {
    const window = OUTSIDE.includes(route) ? outside : inside;
    await open(window, place(stage));
    const main = await window.getByRole('main').innerText();
    assert.ok(main.length > 20, `${route}: ${main}`);
    const found = await window.locator('a[href]').evaluateAll((all) => all.map((link) => link.getAttribute('href')));
    for (const href of found) if (!href.startsWith('#')) links.add(new URL(href, window.url()).href.split('#')[0]);
  }
  assert.ok(links.size > 40, `${links.size} links`);
  for (const link of links) {
    assert.ok(link.startsWith(world.stage.center), `${link} leads out of the center`);
    const answer = await inside.request.get(link);
    assert.equal(answer.status(), 200, link);
  }
  stage.style = await inside.locator('link[rel=stylesheet]').getAttribute('href');
  for (const [route, [place, type]] of Object.entries(OTHERS)) {
    const control = new AbortController();
    const cookie = (await inside.context().cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
    const answer = await fetch(world.stage.center + place(stage), { headers: { cookie }, signal: control.signal });
    assert.equal(answer.status, 200, route);
    assert.ok(answer.headers.get('content-type').startsWith(type), `${route}: ${answer.headers.get('content-type')}`);
    control.abort();
  }
}
