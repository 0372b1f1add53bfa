// Updates in stages, and what follows one that did not succeed everywhere.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';

import { tabTo } from '../lib/look.mjs';
import { ended, group, script, send } from '../lib/orders.mjs';

const row = (page, eui) => page.locator(`#line-${eui}`);
const idOf = (page) => page.url().match(/updates\/([0-9a-f-]+)/)[1];

export async function a_roll_out_in_stages_stops_by_itself_goes_on_by_a_button_and_the_failed_are_retried(world) {
  const [one, two, five] = world.stage.gateways;
  await group(world, 'north', world.stage.gateways);
  // It fails until this file is there.
  const cured = `${world.stage.folder}/cured`;
  const page = await world.loggedIn();
  await page.goto('/groups/north/software-update?kind=jetporch');
  await page.getByLabel('JetPorch YAML value').fill(script(`!shell\n  cmd: test -e ${cured}`));
  await page.getByLabel('Confirm window').fill('0');
  await page.getByLabel('Stages').fill('none at first');
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  await page.getByRole('alert').getByRole('link').click();
  world.refused(422);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'stages', 'the fault leads to its field');
  await world.check(page);
  await page.getByLabel('Stages').fill('1');
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  const popup = page.getByRole('dialog');
  await popup.getByText(/in stages \(1, then the rest\), stopping when more than 10 %/).waitFor();
  await popup.getByRole('button', { name: 'SEND TO 3 GATEWAYS' }).click();
  await page.waitForURL(/\/updates\/[0-9a-f-]+$/);

  // The first fails; nothing is sent to the others, and each line says what it waits for.
  await page.getByText('The roll-out is stopped at stage 1 of 2').waitFor();
  await row(page, one).getByText('Failed', { exact: true }).waitFor();
  for (const eui of [two, five]) await row(page, eui).getByText(/Now: .*stopped/).waitFor();
  assert.deepEqual((await world.rest('GET', `/updates/${idOf(page)}`)).outcomes, { failed: 1, none: 2 });
  await world.check(page, 'roll-out-stopped');
  await page.getByRole('link', { name: 'GO ON' }).click();
  await page.getByText('Why it was stopped').waitFor();
  await world.check(page);
  await page.getByRole('button', { name: 'GO ON' }).click();
  await page.getByText('the roll-out goes on').waitFor();

  await page.locator('[data-ended=yes]').waitFor();
  await row(page, two).getByText('Failed', { exact: true }).waitFor();
  await row(page, five).getByText('not on KerOS 6').waitFor();
  assert.equal(await page.getByRole('link', { name: 'GO ON' }).count(), 0);
  await writeFile(cured, '');
  await page.getByRole('link', { name: 'RETRY THE FAILED' }).click();
  await page.getByText(/as a new update, to 3 gateways/).waitFor();
  await world.check(page);
  const first = idOf(page);
  await page.getByRole('button', { name: 'RETRY THE FAILED' }).click();
  await page.getByText('the update is sent again').waitFor();
  assert.notEqual(idOf(page), first);
  await page.getByRole('link', { name: `update ${first}` }).waitFor();
  const retried = await ended(world, { update_id: idOf(page) });
  assert.deepEqual(retried.outcomes, { refused: 1, succeeded: 2 });
}

export async function a_dry_run_is_carried_out_by_the_keyboard_alone(world) {
  await group(world, 'north', world.stage.gateways);
  const dry = await send(world, 'north', script('!template\n  content: "hello\\n"\n  dest: /etc/motd'), { dry_run: true });
  await ended(world, dry);
  const page = await world.loggedIn();
  await page.goto(`/updates/${dry.update_id}`);
  await page.getByText('A dry run: nothing is changed.').waitFor();
  await tabTo(page, page.getByRole('link', { name: 'CARRY OUT' }));
  await page.keyboard.press('Enter');
  await page.getByText('The same job is sent in earnest to 2 gateways').waitFor();
  await world.check(page);
  await tabTo(page, page.getByRole('button', { name: 'CARRY OUT' }));
  await page.keyboard.press('Enter');
  await page.getByText('the update is sent').waitFor();
  await page.locator('[data-ended=yes]').waitFor();
  const real = await world.rest('GET', `/updates/${idOf(page)}`);
  assert.deepEqual([real.dry_run ?? false, real.outcomes], [false, { succeeded: 2 }]);
  // It is carried out once.
  await page.goto(`/updates/${dry.update_id}`);
  await page.getByRole('link', { name: `update ${real.update_id}` }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'CARRY OUT' }).count(), 0);
}

export async function an_update_waits_for_its_time_and_its_window_and_says_so(world) {
  const [eui] = world.stage.gateways;
  await group(world, 'north', [eui]);
  const page = await world.loggedIn();
  // A month ahead, to the minute, as the field has it.
  const at = new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 16);
  await page.goto('/groups/north/software-update?kind=jetporch');
  await page.getByLabel('JetPorch YAML value').fill(script('!echo\n  msg: hello'));
  await page.getByLabel('Not before').fill('2037-01-02T03:04');
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  await page.getByRole('alert').getByText('“Not before” is 90 days ahead at most').waitFor();
  world.refused(422);
  await page.getByLabel('Not before').fill(at);
  await page.getByLabel('Maintenance window').fill('mon-fri 22:00-04:00');
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  const popup = page.getByRole('dialog');
  await popup.getByText(`not before ${at} UTC, only in the window mon-fri 22:00-04:00`).waitFor();
  await popup.getByRole('button', { name: 'SEND TO 1 GATEWAY' }).click();
  await page.waitForURL(/\/updates\/[0-9a-f-]+$/);
  await world.rest('POST', `/gateways/${eui}/nudge`);
  await row(page, eui).getByText(`Now: not before ${at.replace('T', ' ')} UTC`).waitFor();
  await page.getByText('mon,tue,wed,thu,fri 22:00-04:00Z').waitFor();
  await world.check(page);
  assert.deepEqual((await world.rest('GET', `/updates/${idOf(page)}`)).deliveries, { waiting: 1 });
}
