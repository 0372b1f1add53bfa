// The five roles: what each sees, what each may, and that a form which his page does not have is refused.

import assert from 'node:assert/strict';

import { declare, echo, group, send } from '../lib/orders.mjs';
import { post, setUp, status, user } from '../lib/people.mjs';

const [ONE, TWO] = ['7076FF005600000A', '7076FF005600000B'];

/** Opens the CONFIGURATION menu and sends a script by the page. */
async function sendByPage(page, place) {
  await page.goto(place);
  await page.locator('summary', { hasText: 'CONFIGURATION' }).click();
  await page.getByRole('link', { name: 'Software update' }).click();
  await page.getByRole('link', { name: 'Custom JetPorch script' }).click();
  await page.getByLabel('JetPorch YAML value').fill(echo);
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: /^SEND TO/ }).click();
  await page.waitForURL('**/updates/*');
}

/** Forms that only the two administrators have; none of them may do anything for others. */
const orders = (group, eui, update) => {
  const script = { kind: 'jetporch', script: echo, mode: 'real', form_key: crypto.randomUUID() };
  return [
    [`/groups/${group}/software-update`, script],
    [`/groups/${group}/software-update/confirm`, script],
    [`/groups/${group}/software-update/send`, script],
    [`/gateways/${eui}/software-update/send`, script],
    [`/updates/${update}/cancel`, {}],
    [`/updates/${update}/gateways/${eui}/cancel`, {}],
    [`/updates/${update}/retry`, {}],
  ];
};

export async function only_service_administrator_and_channel_administrator_may_update_and_cancel(world) {
  await declare(world, [ONE, TWO]);
  await group(world, 'north', [ONE]);
  await group(world, 'south', [TWO]);
  const { update_id: update } = await send(world, 'north', echo);
  for (const [role, may] of [
    ['SERVICE_VIEWER', false],
    ['SERVICE_OPERATOR', false],
    ['SERVICE_ADMINISTRATOR', true],
    ['CUSTOMER_ADMINISTRATOR', false],
    ['CHANNEL_ADMINISTRATOR', true],
  ]) {
    const page = await world.loggedIn(await user(world, role.toLowerCase(), ['main', role]));
    for (const place of [`/updates/${update}`, `/updates/${update}/gateways/${ONE}`, '/updates', '/groups/north']) {
      await page.goto(place);
      assert.equal(await page.getByRole('link', { name: /^CANCEL/ }).count() > 0, may, `${role} ${place}`);
    }
    for (const place of ['/groups/south', `/gateways/${TWO}`]) {
      await page.goto(place);
      assert.equal(await page.getByRole('link', { name: 'Software update', includeHidden: true }).count(), may ? 1 : 0, `${role} ${place}`);
      assert.equal(await status(page, `${place}/software-update`), may ? 200 : 403, role);
    }
    if (may) {
      await sendByPage(page, '/groups/south');
      await page.getByRole('link', { name: 'CANCEL UPDATE', exact: true }).click();
      await page.getByRole('button', { name: 'CANCEL UPDATE' }).click();
      await page.locator('#state', { hasText: 'Cancelled' }).waitFor();
    } else {
      for (const [place, form] of orders('south', TWO, update)) assert.equal(await post(page, place, form), 403, `${role} ${place}`);
    }
    await page.context().close();
  }
  // Two by the two who may; and the one in progress was touched by nobody.
  assert.equal((await world.rest('GET', '/updates')).length, 3);
  assert.deepEqual((await world.rest('GET', `/updates/${update}`)).deliveries, { waiting: 1 });
}

/** All pages of the navigation, and those of one element each. */
const places = (update) => [
  '/groups', '/groups/north', '/gateways', `/gateways/${ONE}`, '/updates', `/updates/${update}`,
  `/updates/${update}/gateways/${ONE}`, '/magic-links', '/customers', '/account',
];

/** What changes something besides updates. */
const changes = [
  ['/groups', { name: 'west' }],
  ['/gateways', { eui: '7076FF005600000C', name: 'mast', description: '' }],
  [`/gateways/${ONE}/edit`, { name: 'quay', description: '', labels: '' }],
  [`/gateways/${ONE}/retire`, {}],
  [`/gateways/${ONE}/move`, { customer: 'harbour' }],
  ['/customers', { name: 'island' }],
  ['/users', { login: 'eve', customer: '*', role: 'CHANNEL_ADMINISTRATOR' }],
  ['/webhooks', { url: 'https://example.org/hook' }],
];

/** Somebody who looks on: all pages are there, nothing on them changes anything, and no hand-made form does. */
async function looksOn(world, page, role) {
  const { update_id: update } = await send(world, 'north', echo);
  for (const place of places(update)) {
    await page.goto(place);
    await page.getByRole('heading', { level: 1 }).waitFor();
    const buttons = await page.locator('main form[method=post] button').allInnerTexts();
    const known = place === '/account' ? /^(CHANGE PASSWORD|CREATE|MAKE|REVOKE)/ : /^ASK FOR TELEMETRY NOW$/;
    assert.deepEqual(buttons.filter((text) => !known.test(text)), [], `${role} ${place}`);
    for (const name of ['New group', 'Declare a gateway', 'Import CSV', /CANCEL/, /Software update/, /Edit group/]) {
      assert.equal(await page.getByRole('link', { name, includeHidden: true }).count(), 0, `${role} ${place} ${name}`);
    }
  }
  for (const place of ['/users', '/audit', '/webhooks', '/groups/new']) assert.equal(await status(page, place), 403, `${role} ${place}`);
  for (const name of ['Users', 'Audit log', 'Webhooks']) {
    assert.equal(await page.getByRole('link', { name, includeHidden: true }).count(), 0, name);
  }
  for (const [place, form] of changes) assert.equal(await post(page, place, form), 403, `${role} ${place}`);
}

/** Nothing of `changes` was done. */
async function nothingChanged(world) {
  const names = async (path) => (await world.rest('GET', path)).map(({ name, login }) => name ?? login);
  assert.deepEqual(await names('/groups'), ['north']);
  assert.deepEqual(await names('/customers'), ['main']);
  assert.ok(!(await names('/users')).includes('eve'));
  assert.deepEqual(await world.rest('GET', '/webhooks'), []);
  const gateways = await world.rest('GET', '/gateways?retired=all');
  assert.deepEqual(gateways.map(({ eui, given_name, retired_at_unix_s }) => [eui, given_name, retired_at_unix_s]), [[ONE, undefined, undefined]]);
}

export async function a_service_viewer_observes(world) {
  await declare(world, [ONE]);
  await group(world, 'north', [ONE]);
  const page = await world.loggedIn(await user(world, 'vera', ['main', 'SERVICE_VIEWER']));
  await looksOn(world, page, 'SERVICE_VIEWER');
  await page.goto(`/gateways/${ONE}`);
  assert.equal(await page.getByRole('button', { name: 'ASK FOR TELEMETRY NOW' }).count(), 0);
  assert.equal(await post(page, `/gateways/${ONE}/nudge`), 403);
  await nothingChanged(world);
}

export async function a_service_operator_monitors(world) {
  await world.wish(`start ${ONE} 6.3.1`);
  await world.eventually('the gateway is heard of', async () => {
    assert.ok((await world.rest('GET', `/gateways/${ONE}`)).last_telemetry_unix_s);
  });
  await group(world, 'north', [ONE]);
  const page = await world.loggedIn(await user(world, 'otto', ['main', 'SERVICE_OPERATOR']));
  await looksOn(world, page, 'SERVICE_OPERATOR');
  // Besides looking he asks for telemetry, and it comes.
  const before = await world.rest('GET', `/gateways/${ONE}`);
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await page.goto(`/gateways/${ONE}`);
  await page.getByRole('button', { name: 'ASK FOR TELEMETRY NOW' }).click();
  await page.getByText('the gateway is asked for telemetry').waitFor();
  await world.eventually('the telemetry has come', async () => {
    const { telemetry } = await world.rest('GET', `/gateways/${ONE}`);
    assert.notEqual(telemetry.telemetry_id, before.telemetry.telemetry_id);
  });
  await nothingChanged(world);
}

export async function a_service_administrator_creates_updates_and_deletes_elements(world) {
  const page = await world.loggedIn(await user(world, 'sam', ['main', 'SERVICE_ADMINISTRATOR']));
  await page.goto('/gateways');
  await page.getByRole('link', { name: 'Declare a gateway' }).click();
  await page.getByLabel('EUI').fill('7076-ff00-5600-000a');
  await page.getByLabel('Name').fill('mast');
  await page.getByRole('button', { name: 'DECLARE' }).click();
  await page.getByRole('heading', { name: 'mast' }).waitFor();
  await page.getByLabel(/^Name/).last().fill('quay');
  await page.getByRole('button', { name: 'SAVE' }).click();
  await page.getByRole('heading', { name: 'quay' }).waitFor();
  await page.goto('/groups');
  await page.getByRole('link', { name: 'New group' }).click();
  await page.getByLabel(/^Name/).fill('north');
  await page.getByRole('button', { name: 'CREATE' }).click();
  await page.getByRole('heading', { name: 'north' }).waitFor();
  await page.goto('/webhooks');
  await page.getByLabel(/^Address/).fill('https://example.org/hook');
  await page.getByRole('button', { name: 'CREATE' }).click();
  await page.getByRole('link', { name: 'https://example.org/hook' }).click();
  await page.getByRole('button', { name: 'REMOVE' }).click();
  await page.getByText('There are no webhooks yet').waitFor();
  await page.goto(`/gateways/${ONE}`);
  await page.getByText('Retire', { exact: true }).click();
  await page.getByRole('button', { name: 'RETIRE' }).click();
  await page.getByText('nothing is sent to it').first().waitFor();
  await page.goto('/gateways');
  await page.getByText('No gateway is known yet').or(page.getByText('0 gateways')).first().waitFor();
  // Users and customers are others' affair.
  for (const place of ['/users', '/users/ada']) assert.equal(await status(page, place), 403, place);
  for (const [place, form] of changes.filter(([place]) => /users|customers|move/.test(place))) {
    assert.equal(await post(page, place, form), 403, place);
  }
}

export async function a_customer_administrator_has_the_customers_users(world) {
  await world.rest('POST', '/customers', { name: 'harbour' });
  await world.rest('POST', '/groups', { name: 'crane', customer: 'harbour' });
  const page = await world.loggedIn(await user(world, 'cleo', ['harbour', 'CUSTOMER_ADMINISTRATOR']));
  await user(world, 'zoe', ['main', 'SERVICE_VIEWER']);
  await page.goto('/users');
  // Users of other customers are not there, and no other customer can be chosen.
  assert.equal(await page.getByRole('link', { name: 'zoe' }).count(), 0);
  assert.equal(await status(page, '/users/zoe'), 404);
  assert.deepEqual(await page.getByLabel('Customer').locator('option').allInnerTexts(), ['harbour']);
  const make = async (login, role) => {
    await page.goto('/users');
    await page.getByLabel(/^Log-in name/).fill(login);
    await page.getByLabel('Role').selectOption(role);
    await page.getByRole('button', { name: 'CREATE' }).click();
  };
  // Nobody gives what he may not himself.
  for (const role of ['SERVICE_ADMINISTRATOR', 'CHANNEL_ADMINISTRATOR']) {
    await make('eve', role);
    await page.getByRole('alert').getByText('Not made').waitFor();
    world.refused(403);
  }
  await make('vera', 'SERVICE_VIEWER');
  const link = await page.locator('#set-up a').getAttribute('href');
  const vera = await setUp(world, link);
  await vera.goto('/groups');
  await vera.getByRole('link', { name: 'crane' }).waitFor();
  // A second use of the link is none.
  assert.notEqual(await status(page, link), 200);
  await page.goto('/users/vera');
  await page.getByRole('button', { name: 'DISABLE' }).click();
  await page.getByText('the user is disabled').waitFor();
  await vera.goto('/groups');
  await vera.waitForURL('**/login*');
  assert.equal(await post(page, '/customers', { name: 'island' }), 403);
  assert.equal(await post(page, '/groups', { name: 'west' }), 403);
}

export async function a_channel_administrator_has_several_customers_and_their_administrators(world) {
  const page = await world.loggedIn(await user(world, 'carl', ['*', 'CHANNEL_ADMINISTRATOR']));
  for (const customer of ['harbour', 'island']) {
    await page.goto('/customers');
    await page.getByLabel('Name').fill(customer);
    await page.getByRole('button', { name: 'CREATE' }).click();
    await page.getByRole('rowheader', { name: customer }).waitFor();
    await page.goto('/users');
    await page.getByLabel(/^Log-in name/).fill(`${customer}-administrator`);
    await page.getByLabel('Customer').selectOption(customer);
    await page.getByLabel('Role').selectOption('CUSTOMER_ADMINISTRATOR');
    await page.getByRole('button', { name: 'CREATE' }).click();
    const administrator = await setUp(world, await page.locator('#set-up a').getAttribute('href'));
    // Each has his own customer, and nothing of the other.
    await administrator.goto('/customers');
    assert.deepEqual(await administrator.getByRole('rowheader').allInnerTexts(), [customer]);
    await administrator.goto('/users');
    assert.deepEqual(await administrator.getByRole('rowheader').allInnerTexts(), [`${customer}-administrator`]);
  }
  await page.goto('/customers');
  assert.deepEqual((await page.getByRole('rowheader').allInnerTexts()).sort(), ['harbour', 'island', 'main']);
}

export async function a_user_may_hold_different_roles_on_different_customers(world) {
  const groups = {};
  for (const [customer, eui] of [['harbour', ONE], ['island', TWO], ['desert', '7076FF005600000C']]) {
    await world.rest('POST', '/customers', { name: customer });
    await world.rest('POST', '/gateways', { eui, customer });
    groups[customer] = (await world.rest('POST', '/groups', { name: 'north', customer, gateways: [eui] })).group_id;
  }
  const dana = await user(world, 'dana', ['harbour', 'SERVICE_ADMINISTRATOR'], ['island', 'SERVICE_VIEWER']);
  const page = await world.loggedIn(dana);
  await page.goto('/account');
  for (const [customer, role] of [['harbour', 'SERVICE_ADMINISTRATOR'], ['island', 'SERVICE_VIEWER']]) {
    await page.getByRole('row', { name: `${customer} ${role}` }).waitFor();
  }
  // On the one he updates, on the other he looks on, the third is not there.
  await sendByPage(page, `/groups/${groups.harbour}`);
  await page.goto(`/groups/${groups.island}`);
  await page.getByRole('heading', { name: 'north' }).waitFor();
  assert.equal(await page.locator('summary', { hasText: 'CONFIGURATION' }).count(), 0);
  for (const [customer, refused] of [['island', 403], ['desert', 404]]) {
    assert.equal(await status(page, `/groups/${groups[customer]}/software-update`), refused, customer);
    const form = { kind: 'jetporch', script: echo, mode: 'real', form_key: crypto.randomUUID() };
    assert.equal(await post(page, `/groups/${groups[customer]}/software-update/send`, form), refused, customer);
  }
  assert.equal(await status(page, `/groups/${groups.desert}`), 404);
  await page.goto('/groups/new');
  assert.deepEqual(await page.getByLabel(/^Customer/).locator('option').allInnerTexts(), ['harbour']);
  assert.equal((await world.rest('GET', '/updates')).length, 1);
}
