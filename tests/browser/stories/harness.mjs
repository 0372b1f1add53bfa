// What the other stories rely on: that a page which is not as it should be is found.

import assert from 'node:assert/strict';

import { tabTo } from '../lib/look.mjs';

const page = (body) => `<!doctype html><html lang="en"><head><title>t</title></head><body><main><h1>t</h1>${body}</main></body></html>`;

export async function a_page_that_is_not_accessible_or_too_wide_is_found(world) {
  const window = await world.page({ width: 390 });
  await window.setContent(page('<p>All is well.</p>'));
  await world.check(window);
  for (const [body, finding] of [
    ['<img src="data:,">', /not accessible[^]*image-alt/],
    ['<input>', /not accessible[^]*label/],
    ['<p style="color: #ccc; background: #fff">Pale</p>', /not accessible[^]*color-contrast/],
    ['<div style="width: 500px">wide</div>', /500|pixels wide in a window of 390/],
  ]) {
    await window.setContent(page(body));
    await assert.rejects(world.check(window), finding, body);
  }
}

export async function an_element_that_the_keyboard_does_not_reach_is_found(world) {
  const window = await world.page();
  await window.setContent(page('<button>A</button><button tabindex="-1">B</button><button style="outline: none">C</button>'));
  await tabTo(window, window.getByText('A'));
  await assert.rejects(tabTo(window, window.getByText('B'), 10), /is not reached/);
  await assert.rejects(tabTo(window, window.getByText('C'), 10), /has the focus/);
}
