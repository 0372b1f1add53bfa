// A gateway's page: its record, its vitals, its connection, and updates of it alone.

import assert from 'node:assert/strict';

import { putLink } from '../lib/links.mjs';
import { declare, echo, group } from '../lib/orders.mjs';

const EUI = '7076FF005600000A';
const OTHER = '7076FF005600000B';

/** What the list of facts says of this. */
const fact = (page, name) => page.locator('dt', { hasText: name }).first().locator('xpath=following-sibling::dd[1]');

/** The vital that has this name of the vendor's. */
const vital = (page, name) =>
  page.locator('dt').filter({ has: page.getByText(name, { exact: true }) }).locator('xpath=following-sibling::dd[1]');

const says = async (page, name, text) => assert.match(await fact(page, name).innerText(), text, name);

/** Presses SEND and confirms. */
async function confirmed(page) {
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'SEND TO 1 GATEWAY' }).click();
  await page.waitForURL('**/updates/*');
}

export async function on_a_gateways_page_no_new_command_while_another_of_the_same_type_is_pending_for_it(world) {
  await declare(world, [EUI, OTHER]);
  const hash = await putLink(world, { name: 'banner', gateways: [EUI] });
  const page = await world.loggedIn();
  const send = page.getByRole('button', { name: 'SEND', exact: true });
  const dot = page.getByRole('img', { name: 'An update is in progress' });
  const order = (job) => world.rest('POST', `/gateways/${EUI}/updates`, { job });
  const script = { kind: 'jetporch', script: echo };
  const link = { kind: 'magic_link', digest: hash };

  await page.goto(`/gateways/${EUI}`);
  assert.equal(await dot.count(), 0);
  await page.locator('summary', { hasText: 'CONFIGURATION' }).click();
  await page.getByRole('link', { name: 'Software update' }).click();
  await page.getByRole('link', { name: 'Custom JetPorch script' }).click();
  await page.getByLabel('JetPorch YAML value').fill(echo);
  await confirmed(page);
  const first = page.url();

  await page.goto(`/gateways/${EUI}`);
  await dot.waitFor();
  await world.check(page);
  // The same type: no. The page says which one it is, and it is not only the page that refuses.
  await page.goto(`/gateways/${EUI}/software-update?kind=jetporch`);
  await page.getByText('An update of the same type is in progress:').waitFor();
  await page.locator(`a[href="${new URL(first).pathname}"]`).waitFor();
  assert.ok(await send.isDisabled());
  await world.check(page);
  await assert.rejects(order(script), /409/);
  // The other type: yes.
  await page.getByRole('link', { name: 'Custom Magic Link' }).click();
  assert.equal(await page.getByText('is in progress').count(), 0);
  assert.ok(await send.isEnabled());
  await page.getByLabel('Magic Link value').fill(hash);
  await confirmed(page);
  const second = page.url();
  // Now neither.
  for (const [kind, job] of [['jetporch', script], ['magic_link', link]]) {
    await page.goto(`/gateways/${EUI}/software-update?kind=${kind}`);
    await page.getByText('An update of the same type is in progress:').waitFor();
    assert.ok(await send.isDisabled(), kind);
    await assert.rejects(order(job), /409/);
  }
  // Another gateway has nothing to do with it.
  await page.goto(`/gateways/${OTHER}/software-update?kind=jetporch`);
  assert.ok(await send.isEnabled());
  for (const update of [first, second]) {
    await page.goto(`${update}/cancel`);
    await page.getByRole('button', { name: 'CANCEL UPDATE' }).click();
    await page.locator('#state', { hasText: 'Cancelled' }).waitFor();
  }
  await page.goto(`/gateways/${EUI}`);
  assert.equal(await dot.count(), 0);
  await page.goto(`/gateways/${EUI}/software-update?kind=jetporch`);
  assert.ok(await send.isEnabled());
}

export async function a_gateways_record_has_its_eui_name_description_customer_creation_date_groups_connection_status_and_location(world) {
  await world.rest('POST', '/customers', { name: 'harbour' });
  await world.rest('POST', '/gateways', { eui: EUI, name: 'mast', description: 'on the crane', customer: 'harbour' });
  for (const name of ['north', 'south']) await world.rest('POST', '/groups', { name, customer: 'harbour', gateways: [EUI] });
  const record = await world.rest('GET', `/gateways/${EUI}`);
  const [harbour] = (await world.rest('GET', '/customers')).filter(({ name }) => name === 'harbour');
  assert.equal(record.eui, EUI);
  assert.equal(record.name, 'mast');
  assert.equal(record.description, 'on the crane');
  assert.equal(record.customer_id, harbour.customer_id);
  assert.ok(Math.abs(record.created_at_unix_s - Date.now() / 1000) < 600);
  assert.deepEqual(record.groups.toSorted(), ['north', 'south']);
  assert.deepEqual(record.connection_status, { status: 'Unknown', message_interval_s: 3600 });
  const page = await world.loggedIn();
  await page.goto('/gateways');
  await page.getByRole('link', { name: 'mast' }).click();
  await page.getByRole('heading', { level: 1, name: 'mast' }).waitFor();
  for (const [name, text] of [
    ['EUI', EUI], ['Description', 'on the crane'], ['Customer', 'harbour'], ['Groups', /north, south|south, north/],
    ['Status', 'Unknown'], ['Last telemetry', 'never'],
  ]) await says(page, name, new RegExp(text));
  const since = await fact(page, 'Known since').locator('time').getAttribute('datetime');
  assert.equal(Math.floor(Date.parse(since) / 1000), record.created_at_unix_s);
  await says(page, 'Location', /^–$/);
  await page.getByLabel(/^Location/).fill('60,1699');
  await page.getByRole('button', { name: 'SAVE' }).click();
  await page.getByRole('alert').getByText('like 60.1699, 24.9384').waitFor();
  world.refused(422);
  await page.getByLabel(/^Location/).fill('60.1699, 24.9384');
  await page.getByRole('button', { name: 'SAVE' }).click();
  await page.getByText('the gateway is changed').waitFor();
  await says(page, 'Location', /^60\.1699, 24\.9384$/);
  assert.deepEqual((await world.rest('GET', `/gateways/${EUI}`)).locations, [{ latitude: 60.1699, longitude: 24.9384 }]);
  // Once it is heard of, its connection status has the time of it, and how often it is expected.
  await world.wish(`start-measured ${EUI} 6.3.1`);
  await world.eventually('it is heard of', async () => {
    const { connection_status: connection } = await world.rest('GET', `/gateways/${EUI}`);
    assert.equal(connection.status, 'Operational');
    assert.ok(Math.abs(connection.last_update_time_unix_s - Date.now() / 1000) < 120);
  });
  await page.reload();
  await says(page, 'Status', /Operational/);
  await says(page, 'Last telemetry', /expected every hour/);
  await world.check(page);
}

export async function vitals_have_the_vendors_names_and_the_keros_entry_is_the_firmware(world) {
  const firmware = '5.10.1-0-gc7e2b007';
  await world.wish(`start-measured ${EUI} ${firmware}`);
  const page = await world.loggedIn();
  const vitals = await world.eventually('its vitals are known', async () => {
    const { vitals } = await world.rest('GET', `/gateways/${EUI}`);
    assert.ok(vitals?.length > 0);
    return vitals;
  });
  for (const vital of vitals) assert.ok(Math.abs(vital.date_unix_s - Date.now() / 1000) < 300, vital.name);
  const values = Object.fromEntries(vitals.map(({ name, value }) => [name, value]));
  assert.equal(values.cpu_percent, 20);
  assert.equal(values.memory_percent, 25);
  assert.ok(Math.abs(values.temperature - 48.3) < 0.1);
  assert.equal(values.uptime, 93784);
  assert.equal(values.network_interface_category, 'ethernet');
  await page.goto(`/gateways/${EUI}`);
  for (const [name, text] of [
    ['cpu_percent', /^20\.0 %/], ['memory_percent', /^25\.0 %/], ['temperature', /^48\.3 °C/], ['uptime', /26 ?h|1 ?d/],
    ['network_interface_category', /^ethernet/], ['keros', new RegExp(`^${firmware}`)],
  ]) assert.match(await vital(page, name).innerText(), text, name);
  // Of the installed packages the entry keros is the firmware.
  const { packages } = await world.rest('GET', `/gateways/${EUI}/packages`);
  assert.deepEqual(packages.filter(({ name }) => name === 'keros'), [{ name: 'keros', version: firmware }]);
  await page.getByLabel('Name or version').fill('keros');
  await page.getByRole('search', { name: 'Packages' }).getByRole('button', { name: 'SEARCH' }).click();
  await page.getByRole('row', { name: `keros ${firmware}` }).waitFor();
  await world.check(page);
}

export async function the_connection_status_is_operational_warning_unreachable_or_unknown(world) {
  await declare(world, [OTHER]);
  await group(world, 'north', [OTHER]);
  await world.wish(`start-measured ${EUI} 6.3.1`);
  const page = await world.loggedIn();
  const is = async (eui, word) => {
    await page.goto(`/gateways/${eui}`);
    await says(page, 'Status', new RegExp(word));
    // The list says the same, and finds it by that.
    await page.goto(`/gateways?status=${word}`);
    await page.getByRole('row', { name: new RegExp(eui) }).getByText(word).waitFor();
    assert.equal((await world.rest('GET', `/gateways?status=${word}`)).length, 1, word);
  };
  await world.eventually('telemetry has come', async () => {
    assert.ok((await world.rest('GET', `/gateways/${EUI}`)).last_telemetry_unix_s);
  });
  await is(OTHER, 'Unknown');
  await is(EUI, 'Operational');
  await world.check(page);
  await world.wish(`stop ${EUI}`);
  await world.eventually('the connection is lost', async () => {
    assert.equal((await world.rest('GET', `/gateways/${EUI}`)).online, false);
  });
  // A lost connection says nothing by itself: what counts is telemetry, which is expected every hour.
  await is(EUI, 'Operational');
  for (const [minutes, word] of [[70, 'Warning'], [130, 'Unreachable']]) {
    if (!(await world.wish(`ahead ${minutes * 60}`))) return;
    await is(EUI, word);
    await is(OTHER, 'Unknown');
  }
  // It comes back, and all is well; both have the same time again.
  await world.wish('ahead 0');
  await world.wish(`go-on ${EUI}`);
  await world.eventually('it is back', () => is(EUI, 'Operational'));
}
