// The pages that make and change a group.

import assert from 'node:assert/strict';

import { tabTo } from '../lib/look.mjs';

const MAST = '7076FF005600000A';
const DAM = '7076FF005600000B';

async function declared(world) {
  await world.rest('POST', '/gateways', { eui: MAST, name: 'mast' });
  await world.rest('PATCH', `/gateways/${MAST}`, { labels: ['roof'] });
  await world.rest('POST', '/gateways', { eui: DAM, name: 'dam' });
}

export async function a_group_is_changed_its_rule_previewed_and_gateways_put_in_and_taken_out(world) {
  await declared(world);
  await world.rest('POST', '/groups', { name: 'north' });
  // With scripts and without.
  for (const scripts of [true, false]) {
    const page = await world.loggedIn({ scripts });
    await page.goto('/groups/north');
    await page.locator('summary', { hasText: 'CONFIGURATION' }).click();
    await page.getByRole('link', { name: 'Edit group' }).click();
    await page.getByLabel('Rule').fill('label is roof');
    await page.getByRole('button', { name: 'PREVIEW THE RULE' }).click();
    await page.getByRole('alert').getByText('Not done').waitFor();
    world.refused(422);
    await page.getByLabel('Rule').fill('label = roof');
    await page.getByRole('button', { name: 'PREVIEW THE RULE' }).click();
    const preview = page.getByRole('region', { name: 'Whom the rule would have' });
    await preview.getByText('1 gateway now.').waitFor();
    await preview.getByRole('link', { name: 'mast' }).waitFor();
    assert.equal(await preview.getByRole('link', { name: 'dam' }).count(), 0);
    assert.equal((await world.rest('GET', '/groups/north')).rule, undefined, 'nothing is saved yet');
    if (scripts) await world.check(page);
    await page.getByLabel('Alerting').check();
    await page.getByRole('button', { name: 'SAVE' }).click();
    await page.getByText('the group is changed').waitFor();
    await page.getByRole('link', { name: 'mast' }).waitFor();
    assert.equal((await world.rest('GET', '/groups/north')).alerting, true);

    await page.locator('summary', { hasText: 'CONFIGURATION' }).click();
    await page.getByRole('link', { name: 'Edit group' }).click();
    await page.getByLabel('Search for a gateway').fill('dam');
    await page.getByRole('button', { name: 'SEARCH' }).click();
    await page.getByRole('button', { name: 'PUT IN dam' }).click();
    await page.getByText(`${DAM} is put in`).waitFor();
    assert.equal((await world.rest('GET', '/groups/north')).gateway_count, 2);
    if (scripts) await world.check(page);
    await page.getByRole('button', { name: 'TAKE OUT dam' }).first().click();
    await page.getByText(`${DAM} is taken out`).waitFor();
    await page.getByLabel('Rule').fill('');
    await page.getByLabel('Alerting').uncheck();
    await page.getByRole('button', { name: 'SAVE' }).click();
    await page.getByText('No gateway is in this group.').waitFor();
    await page.context().close();
  }
}

export async function a_group_is_made_and_changed_by_the_keyboard_alone(world) {
  await declared(world);
  const page = await world.loggedIn();
  await page.goto('/groups');
  await tabTo(page, page.getByRole('link', { name: 'New group' }));
  await page.keyboard.press('Enter');
  await page.waitForURL('**/groups/new');
  await tabTo(page, page.getByLabel('Name'));
  await page.keyboard.type('north');
  await tabTo(page, page.getByRole('button', { name: 'CREATE' }));
  await page.keyboard.press('Enter');
  await page.getByText('the group is made').waitFor();
  await tabTo(page, page.locator('summary', { hasText: 'CONFIGURATION' }));
  await page.keyboard.press('Enter');
  // Escape closes the menu and goes back to its head.
  await page.keyboard.press('Escape');
  assert.equal(await page.getByRole('link', { name: 'Edit group' }).isVisible(), false);
  await page.keyboard.press('Enter');
  await tabTo(page, page.getByRole('link', { name: 'Edit group' }));
  await page.keyboard.press('Enter');
  await page.waitForURL('**/edit');
  await tabTo(page, page.getByLabel('Rule'));
  await page.keyboard.type('label = roof');
  await page.keyboard.press('Enter');
  await page.getByText('the group is changed').waitFor();
  await page.getByRole('link', { name: 'mast' }).waitFor();
}
