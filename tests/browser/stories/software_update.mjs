// From the group's page to the order: the CONFIGURATION menu, the two kinds of commands, SEND and the confirmation.

import assert from 'node:assert/strict';

import { declare, echo, group, send } from '../lib/orders.mjs';

const SILENT = ['7076FF005600000A', '7076FF005600000B'];

export async function an_orange_dot_is_in_the_configuration_menu_while_an_update_is_in_progress(world) {
  await declare(world, SILENT);
  await group(world, 'north', SILENT);
  const page = await world.loggedIn();
  const dot = page.getByRole('img', { name: 'An update is in progress' });
  await page.goto('/groups/north');
  assert.equal(await dot.count(), 0);
  const update = await send(world, 'north', echo);
  await page.reload();
  await dot.waitFor();
  const [red, green, blue] = await dot.evaluate((element) =>
    getComputedStyle(element).backgroundColor.match(/\d+/g).map(Number));
  assert.ok(red > 180 && green > 80 && green < 180 && blue < 80, `${red} ${green} ${blue} is no orange`);
  await world.check(page);
  await page.locator('summary', { hasText: 'CONFIGURATION' }).click();
  await page.getByRole('link', { name: /^Software update/ }).getByRole('img', { name: 'in progress' }).waitFor();
  await world.rest('POST', `/updates/${update.update_id}/cancel`, {});
  await page.reload();
  assert.equal(await dot.count(), 0);
}

export async function send_then_a_confirmation_popup_and_the_update_is_on_its_way(world) {
  await group(world, 'north', world.stage.gateways);
  for (const scripts of [true, false]) {
    const page = await world.loggedIn({ scripts });
    await page.goto('/groups/north/software-update?kind=jetporch');
    await page.getByLabel('JetPorch YAML value').fill(echo);
    await page.getByRole('button', { name: 'SEND', exact: true }).click();
    const popup = scripts ? page.getByRole('dialog') : page.locator('#confirm');
    await popup.getByRole('heading', { name: 'Send this update?' }).waitFor();
    // What will happen, and to how many: one of them has KerOS 5.
    await popup.getByText('2 of 3').waitFor();
    const before = await world.rest('GET', '/updates');
    if (scripts) await world.check(page);
    await popup.getByRole('button', { name: 'SEND TO 3 GATEWAYS' }).click();
    await page.waitForURL(/\/updates\/[0-9a-f-]+/);
    const after = await world.rest('GET', '/updates');
    assert.equal(after.length, before.length + 1);
    await page.locator('[data-ended=yes]').waitFor();
    const [{ outcomes, created_by }] = await world.rest('GET', '/updates');
    assert.deepEqual(outcomes, { refused: 1, succeeded: 2 });
    assert.ok(created_by.length > 0);
    await page.context().close();
  }
}

export async function no_new_command_whatever_its_type_while_one_is_in_progress_for_the_group_or_one_gateway_of_it(world) {
  await declare(world, SILENT);
  const [shared] = SILENT;
  await group(world, 'north', [shared]);
  await group(world, 'south', SILENT);
  await send(world, 'north', echo);
  const page = await world.loggedIn();
  for (const name of ['north', 'south']) {
    for (const kind of ['magic_link', 'jetporch']) {
      await page.goto(`/groups/${name}/software-update?kind=${kind}`);
      await page.getByText('An update is in progress:').waitFor();
      await page.getByRole('link', { name: shared }).waitFor();
      assert.ok(await page.getByRole('button', { name: 'SEND', exact: true }).isDisabled());
    }
    // The page's own words are not what keeps it from being sent.
    await assert.rejects(send(world, name, echo), /409/);
  }
}
