// Customers, users, one's own account, the audit log, webhooks.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';

import { tabTo } from '../lib/look.mjs';

const PASSWORD = 'four words in a row';

/** What the REST API answers to this token. */
async function statusWith(world, token, method, path, body) {
  const answer = await fetch(`${world.stage.center}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  return answer.status;
}

export async function a_user_is_made_chooses_a_password_by_a_link_that_is_good_once_and_has_the_given_roles(world) {
  const page = await world.loggedIn();
  await page.goto('/customers');
  await page.getByLabel('Name').fill('harbour');
  await page.getByLabel('Description').fill('Cranes and quays');
  await page.getByRole('button', { name: 'CREATE' }).click();
  await page.getByRole('row', { name: /^harbour Cranes and quays/ }).waitFor();
  await page.getByLabel('Name').fill('harbour');
  await page.getByRole('button', { name: 'CREATE' }).click();
  await page.getByRole('alert').getByText('Not made').waitFor();
  world.refused(409);
  await world.check(page);

  await page.goto('/users');
  await page.getByLabel('Log-in name').fill('Ben Hill');
  await page.getByLabel('Role').selectOption('SERVICE_VIEWER');
  await page.getByRole('button', { name: 'CREATE' }).click();
  await page.getByRole('alert').getByText('Not made').waitFor();
  world.refused(422);
  await world.check(page);
  await page.getByLabel('Log-in name').fill('ben');
  await page.getByLabel('Customer').selectOption('harbour');
  await page.getByLabel('Role').selectOption('SERVICE_VIEWER');
  await page.getByRole('button', { name: 'CREATE' }).click();
  const link = await page.locator('#set-up a').getAttribute('href');
  await world.check(page);

  const own = await world.page();
  await own.goto(link);
  await own.getByLabel('Password', { exact: false }).first().fill(PASSWORD);
  await own.getByLabel('The same password again').fill('another');
  await own.getByRole('button', { name: 'KEEP AND LOG IN' }).click();
  await own.getByRole('alert').getByText('not the same').waitFor();
  world.refused(422);
  await world.check(own);
  await own.getByLabel('Password', { exact: false }).first().fill(PASSWORD);
  await own.getByLabel('The same password again').fill(PASSWORD);
  await own.getByRole('button', { name: 'KEEP AND LOG IN' }).click();
  await own.waitForURL('**/groups');
  await own.goto('/account');
  await own.getByRole('row', { name: 'harbour SERVICE_VIEWER' }).waitFor();
  const again = await own.request.get(link);
  assert.ok([404, 410].includes(again.status()), `the link is used: ${again.status()}`);

  // Another role is given and taken; who is disabled is out at once.
  await page.goto('/users/ben');
  await page.getByLabel('Customer').selectOption('main');
  await page.getByLabel('Role').selectOption('SERVICE_OPERATOR');
  await page.getByRole('button', { name: 'GIVE' }).click();
  await page.getByRole('row', { name: /^main SERVICE_OPERATOR/ }).waitFor();
  await own.reload();
  await own.getByRole('row', { name: 'main SERVICE_OPERATOR' }).waitFor();
  await page.getByRole('button', { name: 'TAKE AWAY SERVICE_OPERATOR on main' }).click();
  await page.getByText('the user is no longer with the role').waitFor();
  await own.reload();
  assert.equal(await own.getByText('SERVICE_OPERATOR').count(), 0);
  await page.getByRole('button', { name: 'DISABLE' }).click();
  await page.getByText('the user is disabled').waitFor();
  await own.reload();
  await own.waitForURL('**/login*');
}

export async function a_password_is_changed_and_other_log_ins_end(world) {
  await world.rest('POST', '/users', {
    login: 'eva', roles: [{ customer: 'main', role: 'SERVICE_OPERATOR' }], password: PASSWORD,
  });
  const [one, other] = [await world.page(), await world.page()];
  for (const page of [one, other]) await world.logIn(page, 'eva', PASSWORD);
  // What somebody else has chosen is to be replaced first: no other page is there.
  await one.goto('/groups');
  await one.waitForURL('**/account');
  await one.getByText('Choose another password first').waitFor();
  await world.check(one);
  const fill = async (old, fresh, again) => {
    await one.getByLabel('Password up to now').fill(old);
    await one.getByLabel('New password', { exact: false }).first().fill(fresh);
    await one.getByLabel('The new password again').fill(again);
    await one.getByRole('button', { name: 'CHANGE PASSWORD' }).click();
  };
  await fill('not the old one', 'five words in a row', 'five words in a row');
  await one.getByRole('alert').getByText('Not done').waitFor();
  world.refused(422);
  await fill(PASSWORD, 'five words in a row', 'six words in a row');
  await one.getByRole('alert').getByText('not the same').waitFor();
  world.refused(422);
  await fill(PASSWORD, 'five words in a row', 'five words in a row');
  await one.getByText('the password is changed').waitFor();
  await one.goto('/groups');
  await one.getByRole('heading', { name: 'Groups' }).waitFor();
  await other.goto('/groups');
  await other.waitForURL('**/login*');
  await other.getByLabel('Log-in name').fill('eva');
  await other.getByLabel('Password').fill(PASSWORD);
  await other.getByRole('button', { name: 'LOG IN' }).click();
  await other.getByRole('alert').getByText('Not logged in').waitFor();
  world.refused(401);
  await world.check(other);
}

export async function an_api_token_is_shown_once_does_what_its_scopes_say_and_is_revoked(world) {
  const page = await world.loggedIn();
  await page.goto('/account');
  await page.getByLabel('Name').fill('reader');
  await page.getByRole('button', { name: 'MAKE TOKEN' }).click();
  const token = await page.locator('#token').innerText();
  await world.check(page);
  assert.equal(await statusWith(world, token, 'GET', '/groups'), 200);
  assert.equal(await statusWith(world, token, 'POST', '/groups', { name: 'north' }), 403);
  await page.goto('/account');
  assert.equal(await page.locator('#token').count(), 0, 'it is shown once');
  const line = page.getByRole('row', { name: /^reader read/ });
  await line.waitFor();
  await page.getByRole('button', { name: 'REVOKE reader' }).click();
  await page.getByText('the token is revoked').waitFor();
  assert.equal(await statusWith(world, token, 'GET', '/groups'), 401);
}

export async function the_audit_log_tells_who_did_what_is_filtered_and_exported(world) {
  const page = await world.loggedIn();
  for (const name of ['north', 'south']) await world.rest('POST', '/groups', { name });
  await page.goto('/groups/new');
  await page.getByLabel('Name').fill('west');
  await page.getByRole('button', { name: 'CREATE' }).click();
  await page.getByText('the group is made').waitFor();
  await page.goto('/audit');
  await page.getByRole('row', { name: /api-token.*north/ }).waitFor();
  await page.getByLabel('User').fill(world.stage.user);
  await page.getByLabel('Result').selectOption('done');
  await page.getByRole('button', { name: 'FILTER' }).click();
  await page.getByRole('row', { name: new RegExp(`${world.stage.user}.*west.*done`) }).waitFor();
  assert.equal(await page.getByRole('row', { name: /north/ }).count(), 0, 'it was the token');
  await world.check(page);
  const file = await page.request.get(await page.getByRole('link', { name: 'Export as CSV' }).getAttribute('href'));
  const text = await file.text();
  assert.ok(text.includes('west') && !text.includes('north'), text);
  await page.getByLabel('User').fill('nobody');
  await page.getByRole('button', { name: 'FILTER' }).click();
  await page.getByText('There are no such lines.').waitFor();
}

export async function a_webhook_is_made_told_signed_switched_off_and_removed(world) {
  const heard = [];
  const server = createServer((request, answer) => {
    let body = '';
    request.on('data', (part) => { body += part; });
    request.on('end', () => {
      heard.push({ headers: request.headers, body });
      answer.writeHead(204).end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${server.address().port}/hook`;
    const page = await world.loggedIn();
    await page.goto('/webhooks');
    await page.getByText('There are no webhooks yet.').waitFor();
    await page.getByLabel('Address').fill('https://ada:secret@hooks.example/');
    await page.getByRole('button', { name: 'CREATE' }).click();
    await page.getByRole('alert').getByText('Not made').waitFor();
    world.refused(422);
    await world.check(page);
    await page.getByLabel('Address').fill(url);
    await page.getByRole('button', { name: 'CREATE' }).click();
    const secret = await page.getByRole('status').locator('code').last().innerText();
    await world.check(page);
    await page.getByRole('link', { name: url }).click();
    await page.getByText('Nothing was told yet.').waitFor();
    await page.getByRole('button', { name: 'SEND A TEST MESSAGE' }).click();
    await page.getByText('a test message is on its way').waitFor();
    await world.eventually('the message has come', () => assert.ok(heard.length > 0));
    const [{ headers, body }] = heard;
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
    const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
    assert.equal(headers['webhook-signature'], `v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
    await world.eventually('the page says that it was taken', async () => {
      await page.reload();
      assert.equal(await page.getByRole('row', { name: /taken/ }).count(), 1);
    });
    await world.check(page);
    await page.getByRole('button', { name: 'SWITCH OFF' }).click();
    await page.getByText('the webhook is off').waitFor();
    await page.getByRole('button', { name: 'SWITCH ON' }).waitFor();
    await page.getByRole('button', { name: 'REMOVE' }).click();
    await page.getByText('the webhook is removed').waitFor();
    await page.getByText('There are no webhooks yet.').waitFor();
  } finally {
    server.close();
  }
}

export async function one_logs_in_and_out_by_the_keyboard_alone(world) {
  const page = await world.page();
  await page.goto('/users');
  await page.waitForURL('**/login?next=*');
  await tabTo(page, page.getByLabel('Log-in name'));
  await page.keyboard.type(world.stage.user);
  await tabTo(page, page.getByLabel('Password'));
  await page.keyboard.type(world.stage.password);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/users');
  // The first step of the Tab key leads past the navigation.
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await page.goto('/users');
  await tabTo(page, page.locator('summary', { hasText: world.stage.user }));
  await page.keyboard.press('Enter');
  await tabTo(page, page.getByRole('button', { name: 'Log out' }));
  await page.keyboard.press('Enter');
  await page.waitForURL('**/login');
  await page.goto('/users');
  await page.waitForURL('**/login?next=*');
}
