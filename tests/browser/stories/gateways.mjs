// The list of gateways and the page of one.

import assert from 'node:assert/strict';

import { tabTo } from '../lib/look.mjs';
import { echo, group, send } from '../lib/orders.mjs';

const EUI = '7076FF0056070123';

/** As many as there are on two pages of the list. */
const CSV = ['eui,name,description,labels'];
for (let number = 0; number < 60; number += 1) {
  const name = `mast-${String(number).padStart(2, '0')}`;
  CSV.push(`7076FF00560A00${number.toString(16).padStart(2, '0').toUpperCase()},${name},,${number % 3 === 0 ? 'roof' : ''}`);
}

const names = (page) => page.locator('tbody th').allInnerTexts();

async function importAll(page) {
  await page.goto('/gateways/import');
  await page.getByLabel('CSV').fill(CSV.join('\n'));
  await page.getByRole('button', { name: 'IMPORT' }).click();
  await page.getByText('60 gateways are added').waitFor();
}

export async function gateways_are_imported_from_csv_after_a_preview_that_changes_nothing(world) {
  const page = await world.loggedIn();
  await page.goto('/gateways');
  await page.getByText('No gateway is known yet').waitFor();
  await page.getByRole('link', { name: 'Import CSV' }).click();
  await page.getByLabel('CSV').fill(`${CSV.slice(0, 3).join('\n')}\nnonsense,x,,`);
  for (const button of ['PREVIEW', 'IMPORT']) {
    await page.getByRole('button', { name: button }).click();
    await page.getByRole('alert').getByText('Line 4').waitFor();
    await world.check(page);
  }
  assert.deepEqual((await world.rest('GET', '/gateways')).length, 0, 'all lines or none');
  await page.getByLabel('CSV').fill(CSV.slice(0, 3).join('\n'));
  await page.getByRole('button', { name: 'PREVIEW' }).click();
  await page.getByText('2 would be added').waitFor();
  assert.deepEqual((await world.rest('GET', '/gateways')).length, 0, 'it was only asked');
  await page.getByRole('button', { name: 'IMPORT' }).click();
  await page.getByText('2 gateways are added').waitFor();
  assert.deepEqual(await names(page), ['mast-00', 'mast-01']);
}

export async function the_list_of_gateways_is_searched_filtered_sorted_and_paged(world) {
  const page = await world.loggedIn();
  await importAll(page);
  await page.getByText('60 gateways', { exact: true }).waitFor();
  assert.equal((await names(page)).length, 50);
  await page.getByRole('link', { name: 'Next page' }).click();
  await page.getByRole('link', { name: 'First page' }).waitFor();
  assert.equal((await names(page)).length, 10);

  // By name, and the other way round; the head of the column says so.
  await page.getByRole('link', { name: 'Name', exact: true }).click();
  await page.locator('th[aria-sort=ascending]', { hasText: 'Name' }).waitFor();
  assert.equal((await names(page))[0], 'mast-00');
  await page.getByRole('link', { name: 'Name', exact: true }).click();
  await page.locator('th[aria-sort=descending]', { hasText: 'Name' }).waitFor();
  assert.equal((await names(page))[0], 'mast-59');

  // What is searched for stays in the form, and the order stays.
  await page.getByLabel('Search').fill('7076-ff00-560a-0005');
  await page.getByRole('button', { name: 'SEARCH' }).click();
  await page.getByText('1 gateway', { exact: true }).waitFor();
  assert.deepEqual(await names(page), ['mast-05']);
  await page.getByLabel('Search').fill('');
  await page.getByLabel('Label').fill('roof');
  await page.getByRole('button', { name: 'SEARCH' }).click();
  await page.getByText('20 gateways', { exact: true }).waitFor();
  assert.equal((await names(page))[0], 'mast-57');
  assert.equal(await page.getByLabel('Label').inputValue(), 'roof');

  // A status counts its gateways and lists them.
  await page.getByRole('link', { name: /Unknown 20$/ }).click();
  await page.locator('a[aria-current]', { hasText: 'Unknown' }).waitFor();
  assert.equal(await page.locator('#status').inputValue(), 'Unknown');
  await page.getByRole('link', { name: /Operational 0$/ }).click();
  await page.getByText('No gateway is so.').waitFor();
  await page.getByRole('link', { name: 'Show all' }).click();
  await page.getByText('60 gateways', { exact: true }).waitFor();

  // What no filter can be is said, and nothing is listed.
  await page.getByLabel('KerOS version').fill('six');
  await page.getByRole('button', { name: 'SEARCH' }).click();
  await page.getByRole('alert').getByText('Not understood').waitFor();
  await world.check(page);
  const file = await page.request.get(await page.goto('/gateways?label=roof').then(() =>
    page.getByRole('link', { name: 'Export CSV' }).getAttribute('href')));
  assert.equal((await file.text()).trim().split('\n').length, 21, 'a head and 20 lines');
}

export async function a_gateway_is_found_and_renamed_by_the_keyboard_alone(world) {
  await world.rest('POST', '/gateways', { eui: EUI, name: 'mast' });
  const page = await world.loggedIn();
  await page.goto('/groups');
  await tabTo(page, page.getByRole('link', { name: 'Gateways', exact: true }));
  await page.keyboard.press('Enter');
  await page.waitForURL('**/gateways');
  await tabTo(page, page.getByLabel('Search'));
  await page.keyboard.type('mas');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/gateways?search=mas*');
  await tabTo(page, page.getByRole('link', { name: 'mast' }));
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/gateways/${EUI}`);
  await tabTo(page, page.getByLabel('Name', { exact: false }).last());
  await page.keyboard.press('Control+A');
  await page.keyboard.type('tower');
  await page.keyboard.press('Enter');
  await page.getByText('the gateway is changed').waitFor();
  await page.getByRole('heading', { level: 1, name: 'tower' }).waitFor();
}

export async function a_gateway_is_declared_changed_moved_retired_and_taken_back(world) {
  await world.rest('POST', '/customers', { name: 'harbour' });
  const page = await world.loggedIn();
  await page.goto('/gateways');
  await page.getByRole('link', { name: 'Declare a gateway' }).click();
  await page.getByLabel('EUI').fill('nonsense');
  await page.getByRole('button', { name: 'DECLARE' }).click();
  await page.getByRole('alert').getByText('Not declared').waitFor();
  world.refused(422);
  await world.check(page);
  await page.getByLabel('EUI').fill('70:76:ff:00:56:07:01:23');
  await page.getByLabel('Name').fill('mast');
  await page.getByRole('button', { name: 'DECLARE' }).click();
  await page.waitForURL(`**/gateways/${EUI}`);
  await page.getByText('the gateway is declared').waitFor();
  await page.getByText('Unknown', { exact: true }).waitFor();

  const change = page.getByRole('region', { name: 'Change' });
  await change.getByLabel('Description').fill('On the hill.\nAsk the farmer.');
  await change.getByLabel('Labels').fill('site:north roof');
  await change.getByRole('button', { name: 'SAVE' }).click();
  await page.getByText('the gateway is changed').waitFor();
  for (const label of ['site:north', 'roof']) await page.locator('.tag', { hasText: label }).waitFor();
  await page.getByText('Ask the farmer.').first().waitFor();
  await change.getByLabel('Labels').fill('a/b/c?');
  await change.getByRole('button', { name: 'SAVE' }).click();
  await page.getByRole('alert').getByText('Not done').waitFor();
  world.refused(422);
  await world.check(page);

  await page.goto(`/gateways/${EUI}`);
  await change.getByText('Move to another customer').click();
  await change.getByLabel('Customer').fill('harbour');
  await change.getByRole('button', { name: 'MOVE' }).click();
  await page.getByText('the gateway is moved').waitFor();
  assert.equal(await page.locator('.tag', { hasText: 'roof' }).count(), 0, 'its labels were the other customer’s');
  await change.getByText('Retire', { exact: true }).click();
  await change.getByRole('button', { name: 'RETIRE' }).click();
  await page.getByText('nothing is sent to it any more').waitFor();
  await world.check(page);
  await page.goto('/gateways');
  assert.equal(await page.getByRole('link', { name: 'mast' }).count(), 0);
  await page.getByLabel('Retired').selectOption('Only these');
  await page.getByRole('button', { name: 'SEARCH' }).click();
  await page.getByRole('link', { name: 'mast' }).click();
  await page.getByRole('button', { name: 'TAKE INTO SERVICE AGAIN' }).click();
  await page.getByText('the gateway is in service again').waitFor();
}

export async function a_gateways_page_follows_its_telemetry_and_its_updates_by_itself(world) {
  await world.rest('POST', '/gateways', { eui: EUI, name: 'mast' });
  await group(world, 'north', [EUI]);
  const page = await world.loggedIn();
  await page.goto(`/gateways/${EUI}`);
  await page.getByText('Nothing has been heard yet.').waitFor();
  await page.getByText('Nothing was ever sent to it.').waitFor();
  const shown = await page.evaluate(() => (window.same = Math.random()));
  await world.wish(`start ${EUI} 6.3.1`);

  // Vitals, plots with the same numbers as tables, packages.
  await page.getByText(/^(Operational|Warning)/).first().waitFor();
  const vitals = page.getByRole('region', { name: 'Vitals' });
  for (const vital of ['cpu_percent', 'memory_percent', 'uptime']) await vitals.getByText(vital, { exact: true }).waitFor();
  const week = page.getByRole('region', { name: 'The last week' });
  await week.getByRole('img', { name: /^Memory, %: last/ }).waitFor();
  await week.getByText(/^Memory in numbers/).click();
  assert.equal(await week.getByRole('table').count(), 1);
  await page.getByText('1 of 1 packages').click();
  await page.getByRole('row', { name: 'keros 6.3.1' }).waitFor();

  // An update, while somebody writes into the form below: what he wrote stays.
  await page.getByLabel('Labels').fill('half a lab');
  await send(world, 'north', echo);
  const line = page.getByRole('region', { name: 'Last updates' }).getByRole('row', { name: /Custom JetPorch script/ });
  await line.getByText('Succeeded').waitFor();
  assert.equal(await page.evaluate(() => window.same), shown, 'nobody has loaded it again');
  assert.equal(await page.getByLabel('Labels').inputValue(), 'half a lab');
  await page.getByText(/^Memory in numbers/).waitFor();
  await page.evaluate(() => scrollTo(0, 0));
  await world.check(page, 'gateway');

  // By its button as well; the search in the packages.
  await page.getByRole('button', { name: 'ASK FOR TELEMETRY NOW' }).click();
  await page.getByText('the gateway is asked for telemetry').waitFor();
  await page.getByLabel('Name or version').fill('nothing like it');
  await page.getByRole('region', { name: 'Packages' }).getByRole('button', { name: 'SEARCH' }).click();
  await page.getByText('None of the 1 packages is so.').waitFor();
}
